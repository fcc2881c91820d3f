//! Looking after the server.

use tokio::time::sleep;

use super::{Sidecar, flags};
use crate::{
    context::Context,
    error::{Error, Result},
};

impl Sidecar {
    /// Asks the server again and again; ends only when it must not be served.
    pub(super) async fn heartbeat(&self) -> Result<()> {
        if self.bucket.is_some() {
            while let Err(e) = self.check_flags().await {
                tracing::warn!(
                    "the flags of Prometheus do not allow uploads, or are not known; asking again: {e}"
                );
                sleep(self.pause()).await;
            }
        }
        let mut told = String::new();
        while let Err(e) = self.refresh().await {
            let e = e.to_string();
            if e != told {
                tracing::warn!("Prometheus does not answer, asking again: {e}");
                told = e;
            }
            sleep(self.pause()).await;
        }
        if self.store.external_labels().is_empty() {
            return Err(Error::invalid(
                "no external labels are configured on Prometheus; labels that tell it apart from all others must \
                 be configured",
            ));
        }
        tracing::info!(labels = %self.store.external_labels(), "Prometheus answers");
        self.tell(true);
        loop {
            let up = *self.ready.borrow();
            sleep(if up { self.settings.config_interval } else { self.pause() }).await;
            let asked = self.refresh().await;
            self.tell(asked.is_ok());
            match asked {
                Ok(()) if !up => tracing::info!("Prometheus answers again"),
                Err(e) if up => {
                    tracing::warn!("Prometheus does not answer, labels and times stay as they are: {e}");
                }
                _ => {}
            }
        }
    }

    /// Time before a server that did not answer is asked again.
    fn pause(&self) -> std::time::Duration {
        self.settings.retry_interval.min(self.settings.config_interval)
    }

    /// What ends with one round of questions.
    fn round(&self) -> Context {
        Context::default().with_timeout(self.settings.config_timeout)
    }

    async fn refresh(&self) -> Result<()> {
        let ctx = self.round();
        ctx.run(self.store.refresh(&ctx)).await
    }

    /// Whoever waits for the server learns how it is.
    fn tell(&self, up: bool) {
        self.metrics.prometheus_up.set(u64::from(up));
        self.ready.send_if_modified(|ready| std::mem::replace(ready, up) != up);
    }

    async fn check_flags(&self) -> Result<()> {
        let ctx = self.round();
        match ctx.run(flags::ask(self.store.client(), &ctx)).await? {
            Some(flags) => flags::check(&flags, &self.settings.shipper),
            None => {
                tracing::info!("this Prometheus does not tell its flags, they are not checked");
                Ok(())
            }
        }
    }
}
