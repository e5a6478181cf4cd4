//! The bundled SIP edge.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use windlass_edge::{ConfigSource, Edge};

use crate::config::{Config, Flags};

/// Where the configuration came from, to be read again.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// What was laid over it.
    pub flags: Flags,
}

/// The edge's part of the file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) origin: Origin,
    /// The relay of this process.
    pub(super) ng: SocketAddr,
}

impl ConfigSource for Source {
    fn file(&self) -> Option<&Path> {
        Some(&self.origin.path)
    }

    fn read(&self) -> Result<windlass_edge::Config, Vec<String>> {
        let read = Config::load(Some(&self.origin.path), &self.origin.flags);
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let config = read.map_err(|problems| lines(problems.to_string()))?;
        let edge = config.edge.as_ref();
        let edge = edge.ok_or_else(|| vec!["the file has no SIP edge any more".to_owned()])?;
        Ok(edge.settings(self.ng))
    }
}

/// The edge, on a thread with a runtime of its own.
pub(super) struct EdgeThread {
    pub(super) addresses: Vec<SocketAddr>,
    /// The address of its admin interface over HTTP.
    pub(super) admin: Option<SocketAddr>,
    /// The address that its requests to the relay come from.
    pub(super) asks_from: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    reload: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl EdgeThread {
    pub(super) fn start(
        config: windlass_edge::Config,
        source: Option<Arc<dyn ConfigSource>>,
    ) -> io::Result<Self> {
        let (stop, mut stopped) = oneshot::channel();
        // One that waits stands for all that came meanwhile.
        let (reload, mut reloads) = mpsc::channel(1);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("edge".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                runtime.block_on(async {
                    match Edge::start_reloadable(config, source).await {
                        Ok(edge) => {
                            let addresses = edge.local_addrs().to_vec();
                            let known = (addresses, edge.admin_addr(), edge.asks_from());
                            let _ = started.send(Ok(known));
                            loop {
                                tokio::select! {
                                    _ = &mut stopped => break,
                                    Some(()) = reloads.recv() => read_again(&edge).await,
                                }
                            }
                            edge.stop().await;
                        }
                        Err(error) => {
                            let _ = started.send(Err(error));
                        }
                    }
                });
            })?;
        let (addresses, admin, asks_from) = start
            .recv()
            .map_err(|_| io::Error::other("the edge ended at once"))??;
        Ok(Self {
            addresses,
            admin,
            asks_from,
            stop: Some(stop),
            reload,
            thread: Some(thread),
        })
    }

    /// Opens its logs anew and reads its configuration again; what became of that is in the log.
    pub(super) fn reload(&self) {
        // One that is due already will do.
        let _ = self.reload.try_send(());
    }
}

async fn read_again(edge: &Edge) {
    edge.reopen_logs();
    match edge.reload().await {
        Ok(result) => tracing::info!(result, "the SIP edge was reloaded"),
        Err(mistakes) => {
            for mistake in mistakes {
                tracing::error!(mistake, "the SIP edge was not reloaded");
            }
        }
    }
}

impl Drop for EdgeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
