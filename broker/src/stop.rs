//! The signal by which a broker's tasks end: given, or its giver gone.

use tokio::sync::watch;

/// Gives the signal.
#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

/// Waits for the signal.
#[derive(Debug, Clone)]
pub(crate) struct Stopped(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new() -> (Stop, Stopped) {
        let (sender, receiver) = watch::channel(false);
        (Stop(sender), Stopped(receiver))
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopped {
    pub(crate) async fn wait(&mut self) {
        // An error says that the sender is gone, which stops too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
