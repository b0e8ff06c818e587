//! The sandbox over HTTP/1.1, for clients of other processes.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming as Body;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::door;
use crate::refusals;
use crate::runtime::Runtime;
use crate::wire::{Incoming, Reply};

/// The largest request body, in bytes; more than any modelled service accepts.
const LARGEST_BODY: usize = 8 * 1024 * 1024;

/// A running server. Dropping it ends the server and its connections.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(runtime: Runtime, addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(accept(runtime, listener));
        Ok(Self { addr, accepting })
    }

    /// Returns the address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(runtime: Runtime, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns one peer, or a load that will pass.
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(runtime.clone(), stream));
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(runtime: Runtime, stream: TcpStream) {
    let service = service_fn(move |request| answer(runtime.clone(), request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error means that the peer left, or that the sandbox reset the connection.
    let _ = connection.await;
}

/// Answers a request. An error makes hyper drop the connection without an answer, which resets it.
async fn answer(
    runtime: Runtime,
    request: Request<Body>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let bytes = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => return Ok(too_large()),
        Err(error) => return Err(io::Error::other(error)),
    };
    match door::receive(&runtime, Incoming::new(&head, bytes)).await {
        Reply::Answer(response) => Ok(response.map(Full::new)),
        Reply::Reset => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    }
}

fn too_large() -> Response<Full<Bytes>> {
    let no = refusals::REQUEST_TOO_LARGE.with(&[&LARGEST_BODY.to_string()]);
    let mut response = Response::new(Full::new(Bytes::from(no.message)));
    *response.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
    response
}
