//! The bundled SIP edge.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

/// The edge, on a thread with a runtime of its own.
pub(super) struct EdgeThread {
    pub(super) addresses: Vec<SocketAddr>,
    /// The address that its requests to the relay come from.
    pub(super) asks_from: Option<SocketAddr>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EdgeThread {
    pub(super) fn start(config: windlass_edge::Config) -> io::Result<Self> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
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
                    match windlass_edge::Edge::start(config).await {
                        Ok(edge) => {
                            let known = (edge.local_addrs().to_vec(), edge.asks_from());
                            let _ = started.send(Ok(known));
                            let _ = stopped.await;
                            edge.stop().await;
                        }
                        Err(error) => {
                            let _ = started.send(Err(error));
                        }
                    }
                });
            })?;
        let (addresses, asks_from) = start
            .recv()
            .map_err(|_| io::Error::other("the edge ended at once"))??;
        Ok(Self {
            addresses,
            asks_from,
            stop: Some(stop),
            thread: Some(thread),
        })
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
