//! A TCP proxy that can hold back what a server says.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Longest time that something is held back or waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// A proxy in front of one server.
pub(crate) struct Throttle {
    state: Arc<State>,
    accepts: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Bytes of the server that still pass while the proxy holds back.
    left: AtomicI64,
    holds: AtomicBool,
    /// True when bytes wait.
    held: AtomicBool,
    /// True when what waits is lost.
    cuts: AtomicBool,
    ended: AtomicBool,
}

impl Throttle {
    /// Listens at an address and passes everything on.
    pub(crate) fn start(address: &str, to: String) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        // Connections end with their peers.
        let accepts = std::thread::spawn(move || {
            while !shared.ended.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((client, _)) => connect(client, &to, &shared),
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        });
        Self { state, accepts: Some(accepts) }
    }

    /// From now on lets only some bytes of the server pass.
    pub(crate) fn hold_after(&self, bytes: i64) {
        self.state.held.store(false, Ordering::SeqCst);
        self.state.cuts.store(false, Ordering::SeqCst);
        self.state.left.store(bytes, Ordering::SeqCst);
        self.state.holds.store(true, Ordering::SeqCst);
    }

    /// Waits until bytes are held back.
    pub(crate) fn wait_held(&self) {
        let begin = Instant::now();
        while !self.state.held.load(Ordering::SeqCst) {
            assert!(begin.elapsed() < PATIENCE, "the server does not say enough to be held back");
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends the connection whose bytes are held back.
    pub(crate) fn cut(&self) {
        self.state.cuts.store(true, Ordering::SeqCst);
        self.release();
    }

    /// Lets everything pass again.
    pub(crate) fn release(&self) {
        self.state.holds.store(false, Ordering::SeqCst);
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.release();
        self.state.ended.store(true, Ordering::SeqCst);
        // Its port is free only then.
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
    }
}

fn connect(client: TcpStream, to: &str, state: &Arc<State>) {
    let Ok(server) = TcpStream::connect(to) else { return };
    let both = || Ok::<_, std::io::Error>((client.try_clone()?, server.try_clone()?));
    let (Ok(up), Ok(down)) = (both(), both()) else { return };
    let state = Arc::clone(state);
    std::thread::spawn(move || pass(up.0, up.1, None));
    std::thread::spawn(move || pass(down.1, down.0, Some(&state)));
}

/// Passes bytes on until either end is gone, then ends both.
fn pass(mut from: TcpStream, mut to: TcpStream, state: Option<&State>) {
    let mut bytes = [0; 512];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if let Some(state) = state
            && !hold(state, n)
        {
            break;
        }
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    // They may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Waits while bytes are to be held back; false when they are lost.
fn hold(state: &State, n: usize) -> bool {
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    if !state.holds.load(Ordering::SeqCst) || state.left.fetch_sub(n, Ordering::SeqCst) >= n {
        return true;
    }
    state.held.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    while state.holds.load(Ordering::SeqCst) && begin.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
    // What waited is lost with the server, as on a slow line.
    !state.cuts.load(Ordering::SeqCst)
}
