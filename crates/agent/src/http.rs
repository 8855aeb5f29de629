//! `/metrics`, `/healthz` and `/readyz`.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Metrics;

/// Whether the agent does its work, and if not, why.
#[derive(Debug)]
pub struct Readiness(Mutex<Result<(), String>>);

impl Readiness {
    /// Not ready, for this reason.
    #[must_use]
    pub fn not_yet(reason: impl Into<String>) -> Self {
        Self(Mutex::new(Err(reason.into())))
    }

    /// Sets what `/readyz` says: 200, or 503 with the reason.
    pub fn set(&self, state: Result<(), String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// What `/readyz` says.
    ///
    /// # Errors
    /// The reason.
    pub fn get(&self) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The server, bound but not serving yet: a port in use is known before anything starts.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
}

/// The address is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The wanted address.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

impl HttpServer {
    /// Takes the address; port 0 takes any free one.
    ///
    /// # Errors
    /// When it is in use, or not of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Self { listener })
        });
        bound.map_err(|source| BindError { address, source })
    }

    /// The address it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then finishes the answers under way. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the runtime refuses the socket.
    pub async fn serve(
        self,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = Router::new()
            .route("/metrics", get(show_metrics).with_state(metrics))
            .route("/readyz", get(show_readiness).with_state(readiness))
            .route("/healthz", get(|| std::future::ready("ok\n")));
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown)
            .await
    }
}

async fn show_metrics(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        metrics.render(),
    )
}

async fn show_readiness(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    match readiness.get() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_port_in_use_is_said_before_anything_starts() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = HttpServer::bind(any).unwrap();
        let taken = first.address().unwrap();
        let error = HttpServer::bind(taken).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot listen on {taken}: ")),
            "{error}"
        );
    }

    #[test]
    fn serves_until_told_to_stop() {
        let server = HttpServer::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = server.address().unwrap();
        let metrics = Arc::new(Metrics::new(&prometheus::Registry::new()).unwrap());
        let readiness = Arc::new(Readiness::not_yet("reading back"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .build()
            .unwrap();
        let serving = runtime.spawn(server.serve(metrics, Arc::clone(&readiness), async {
            let _ = stopped.await;
        }));
        let answer = ask(address, "/readyz");
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.ends_with("reading back\n"),
            "{answer}"
        );
        readiness.set(Ok(()));
        assert!(ask(address, "/readyz").starts_with("HTTP/1.1 200"));
        assert!(ask(address, "/healthz").ends_with("ok\n"));
        assert!(ask(address, "/metrics").contains("agent_build_info"));
        assert!(ask(address, "/elsewhere").starts_with("HTTP/1.1 404"));
        stop.send(()).unwrap();
        runtime.block_on(serving).unwrap().unwrap();
    }
}
