//! As much of an API server as a client needs to create a MachineConfig.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use serde_json::{Value, json};

const GROUP: &str = "machineconfiguration.openshift.io";

/// Serves until the test ends: where, and what clients created.
pub(crate) fn serve() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (created, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &created);
        }
    });
    (address, receiver)
}

/// One request, one connection.
fn answer(mut stream: &TcpStream, created: &Sender<Value>) {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request).unwrap();
    for line in reader.by_ref().lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length:").map_or(length, |number| number.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, answer) = if request.starts_with("POST ") {
        let object: Value = serde_json::from_slice(&body).unwrap();
        created.send(object.clone()).unwrap();
        ("201 Created", object)
    } else {
        discovery(path)
    };
    let text = answer.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes()).unwrap();
}

/// The one kind there is; no object of it exists.
fn discovery(path: &str) -> (&'static str, Value) {
    let version = json!({"groupVersion": format!("{GROUP}/v1"), "version": "v1"});
    let found = match path {
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/api/v1" => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": []}),
        "/apis" => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [{"name": GROUP, "versions": [&version], "preferredVersion": &version}],
        }),
        path if path == format!("/apis/{GROUP}/v1") => json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": format!("{GROUP}/v1"),
            "resources": [{
                "name": "machineconfigs",
                "singularName": "machineconfig",
                "namespaced": false,
                "kind": "MachineConfig",
                "verbs": ["create", "get", "patch"],
            }],
        }),
        _ => {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404});
            return ("404 Not Found", status);
        }
    };
    ("200 OK", found)
}
