//! The server, and `/_sandbox/…`, over a real socket.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use amiferry_sandbox::{Sandbox, Server};
use serde_json::Value;

use crate::client::Answer;
use crate::worlds::{Bench, CONSUMER, IMAGE, PRODUCER, world};

async fn serve(sandbox: &Sandbox) -> Server {
    sandbox
        .serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .expect("a port")
}

/// Sends one request on a connection of its own; no answer means a reset.
async fn exchange(server: &Server, head: &str, body: &[u8]) -> Option<Answer> {
    let (address, length, body) = (server.addr(), body.len(), body.to_vec());
    let head =
        format!("{head}\r\nhost: sandbox\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let talk = move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(head.as_bytes()).expect("sent");
        // A server may stop reading before the end of a body.
        let _ = stream.write_all(&body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    };
    let bytes = tokio::task::spawn_blocking(talk)
        .await
        .expect("a conversation");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        refusal: None,
        code: None,
        body: body.to_owned(),
    })
}

pub async fn too_large() -> Answer {
    let sandbox = Sandbox::new(world());
    let server = serve(&sandbox).await;
    exchange(&server, "POST / HTTP/1.1", &vec![b'a'; 8 * 1024 * 1024 + 1])
        .await
        .expect("an answer")
}

#[tokio::test]
async fn the_inspection_paths_show_ledger_and_world() {
    let bench = Bench::new();
    let server = serve(&bench.sandbox).await;
    bench.nobody.ec2("DescribeImages", &[]).await;
    let server = &server;
    let get = |path: &'static str| async move {
        let answer = exchange(server, &format!("GET /_sandbox/{path} HTTP/1.1"), b"")
            .await
            .expect("an answer");
        (answer.status, answer.json())
    };
    assert_eq!(get("health").await.0, 200);
    let (_, ledger) = get("ledger").await;
    assert_eq!(
        (&ledger[0]["operation"], &ledger[0]["error"]),
        (&"DescribeImages".into(), &"UnauthorizedOperation".into())
    );
    let (_, seen) = get("world").await;
    assert_eq!(
        seen["accounts"][PRODUCER]["us-west-2"]["images"][0]["id"],
        IMAGE
    );
    assert_eq!(
        seen["accounts"][CONSUMER]["us-west-2"]["grants"],
        Value::Array(Vec::new())
    );
    assert_eq!(get("nothing").await.0, 404);
    let ferry = &bench.ferry;
    ferry
        .answer(ferry.invoke("amiferry", "Event", b"{}".to_vec()))
        .await
        .ok();
    assert_eq!(get("invocations").await.1[0]["payload"], "{}");
    assert_eq!(get("invocations").await.1, Value::Array(Vec::new()));
}

#[tokio::test]
async fn the_response_url_refuses_a_content_type_and_a_long_body() {
    let bench = Bench::new();
    let server = serve(&bench.sandbox).await;
    let put = |more: &'static str, body: Vec<u8>| {
        let server = &server;
        async move {
            let head = format!("PUT /_sandbox/answers/stack/1 HTTP/1.1{more}");
            exchange(server, &head, &body)
                .await
                .expect("an answer")
                .status
        }
    };
    assert_eq!(put("", b"{}".to_vec()).await, 200);
    assert_eq!(put("\r\ncontent-type:", vec![b' '; 4096]).await, 200);
    assert_eq!(
        put("\r\ncontent-type: application/json", b"{}".to_vec()).await,
        403
    );
    assert_eq!(put("", vec![b' '; 4097]).await, 400);
    let answers = bench.sandbox.answers();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 403, 400]);
    assert_eq!(
        (answers[0].path.as_str(), answers[0].body.as_str()),
        ("/stack/1", "{}")
    );
}

#[tokio::test]
async fn a_reset_breaks_the_connection_and_a_dropped_server_stops() {
    let bench = Bench::new();
    let server = serve(&bench.sandbox).await;
    bench
        .sandbox
        .set_fault(|_| amiferry_sandbox::Fault::ResetBefore);
    assert!(
        exchange(&server, "POST / HTTP/1.1", b"Action=DescribeImages")
            .await
            .is_none()
    );
    let address = server.addr();
    drop(server);
    tokio::task::yield_now().await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert!(TcpStream::connect(address).is_err());
}
