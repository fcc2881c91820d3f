//! Names and passwords.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::HeaderValue;
use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use tokio::sync::Semaphore;

use super::config::WebConfig;

/// Outcomes that are kept.
const CACHE_MAX: usize = 100;
/// Hashes that are computed at a time; each takes a good part of a second of a core.
const HASHING_MAX: usize = 2;
/// Compared with where a name is unknown, so that the time does not tell which names are there.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

type Digest = [u8; 32];

/// Checks passwords against bcrypt hashes; outcomes are kept under a digest with a salt of the process.
#[derive(Debug)]
pub(super) struct Passwords {
    salt: [u8; 32],
    known: Mutex<HashMap<Digest, bool>>,
    hashing: Semaphore,
}

impl Passwords {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut salt = [0; 32];
        SystemRandom::new().fill(&mut salt).map_err(|_| anyhow::anyhow!("no random numbers"))?;
        Ok(Self { salt, known: Mutex::default(), hashing: Semaphore::new(HASHING_MAX) })
    }

    /// True when the header names a user of the configuration with its password.
    pub(super) async fn admits(&self, config: &Arc<WebConfig>, header: Option<&HeaderValue>) -> bool {
        let Some((user, password)) = header.and_then(credentials) else { return false };
        let named = config.users.get(&user);
        let hash = named.map_or(NOBODY, String::as_str).to_owned();
        let key = self.key(&[user.as_bytes(), hash.as_bytes(), &password]);
        if let Some(known) = self.known().get(&key) {
            return *known && named.is_some();
        }
        // It is closed by nobody.
        let Ok(_permit) = self.hashing.acquire().await else { return false };
        let verify = move || bcrypt::verify(password, &hash).unwrap_or(false);
        let right = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
        let admitted = right && named.is_some();
        let mut known = self.known();
        if known.len() >= CACHE_MAX {
            known.clear();
        }
        known.insert(key, admitted);
        admitted
    }

    fn key(&self, parts: &[&[u8]]) -> Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.salt);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        key
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password of a header `Basic …`.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, text) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut plain = base64(text.trim())?;
    let colon = plain.iter().position(|b| *b == b':')?;
    let password = plain.split_off(colon + 1);
    plain.pop();
    Some((String::from_utf8(plain).ok()?, password))
}

/// Decodes base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|b| **b == b'=').count();
    let body = text.get(..text.len() - padding).filter(|_| padding <= 2)?;
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for b in body {
        let digit = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_a_header() {
        let check = |header: &str, want: Option<(&str, &str)>| {
            let got = credentials(&HeaderValue::from_str(header).expect("a header"));
            let want = want.map(|(user, password)| (user.to_owned(), password.as_bytes().to_vec()));
            assert_eq!(got, want, "{header}");
        };
        check("Basic YWxpY2U6c2VjcmV0", Some(("alice", "secret")));
        check("basic YTpiOmM=", Some(("a", "b:c")));
        check("Basic Og==", Some(("", "")));
        for bad in
            ["Bearer YTpi", "Basic", "Basic YTpiOmM", "Basic YWxpY2U=", "Basic !!!!", "Basic ====", "Basic "]
        {
            check(bad, None);
        }
    }
}
