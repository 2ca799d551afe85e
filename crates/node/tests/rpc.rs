//! What an application inside the process does with a call, and what becomes of one that panics, takes too long or is not
//! there: a whole node, asked through a worker's handle. Over HTTP, and by clients, it is tested with the server's process.

use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::watch;
use trunkline_backend::MemoryStore;
use trunkline_model::{
    Action, ClientId, Command, Epoch, ErrorCode, Fault, Form, Identity, Limits, Method, Namespaces, Payload,
    Presented, Publisher, Reply, RpcRequest, Timestamp, UserName,
};
use trunkline_node::{Admission, Door, Handle, HttpServer, Inboxes, Listener, Node, NodeConfig, Rpc, Socket};
use trunkline_ws_proto::DeflateOptions;

/// Longer than any test waits for what must come, so that one that fails ends.
const LONG: Duration = Duration::from_secs(30);

/// No HTTP: whoever connects has the handle of the worker given out.
struct GivesHandle(mpsc::Sender<Handle>);

impl HttpServer for GivesHandle {
    fn serve(
        &self,
        _socket: Socket,
        worker: Handle,
        _drain: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        self.0.send(worker).expect("the test waits for it");
        Box::pin(std::future::ready(()))
    }
}

/// Nobody comes through it here.
struct NoDoor;

impl Door for NoDoor {
    fn admit(&self, _presented: Presented) -> Admission {
        unreachable!("calls through a handle say who they are")
    }
}

/// Does what its methods are called; tells when one is dropped before it is over.
struct Application(mpsc::Sender<()>);

impl Rpc for Application {
    fn call(&self, request: RpcRequest) -> Pin<Box<dyn Future<Output = Result<Payload, Fault>> + Send>> {
        let dropped = Dropped(self.0.clone());
        match request.method.as_str() {
            "at_once" => panic!("as it was asked to"),
            name => {
                let name = name.to_owned();
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    match &*name {
                        "echo" => Ok(request.data),
                        "panic" => panic!("as it was asked to"),
                        "never" => {
                            let _told = dropped;
                            std::future::pending().await
                        }
                        _ => Err(Fault::new(ErrorCode::Forbidden, "no")),
                    }
                })
            }
        }
    }
}

struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        // Only some tests listen.
        let _ = self.0.send(());
    }
}

/// The handle of the one worker of a node with this application.
fn node(rpc: Option<Arc<dyn Rpc>>, limits: Limits) -> Handle {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("it is bound");
    let inboxes = Inboxes::new(1);
    let store = MemoryStore::new(Epoch::from_random(10), || Timestamp(1), inboxes.sink());
    let (give, handle) = mpsc::channel();
    let config = NodeConfig {
        addresses: Arc::default(),
        users: Arc::default(),
        proxies: Vec::new(),
        limits: Arc::new(limits),
        namespaces: Arc::new(Namespaces::default()),
        store: Arc::new(store),
        deflate: DeflateOptions::default(),
        door: Arc::new(NoDoor),
        rpc,
        http: Arc::new(GivesHandle(give)),
        listener: Listener::Tcp(listener),
    };
    // Dropped, the node goes on; it ends with the test's process.
    Node::start(config, inboxes).expect("the node starts");
    TcpStream::connect(address).expect("the node listens");
    handle.recv().expect("the worker serves")
}

fn application() -> (Option<Arc<dyn Rpc>>, mpsc::Receiver<()>) {
    let (tell, dropped) = mpsc::channel();
    (Some(Arc::new(Application(tell))), dropped)
}

/// What comes of a call: the data, or the code of the error.
async fn call(worker: &Handle, method: &str) -> Result<String, ErrorCode> {
    let identity = Identity {
        client: ClientId::new("client"),
        user: UserName::new("ann"),
        publisher: Publisher::new("user:ann"),
        session: None,
        named: true,
        access: std::sync::Arc::default(),
    };
    let method = Method::parse(method).expect("a name");
    let data = Payload::new(Form::Json, "{\"n\":1}");
    match worker.call(identity, Command { id: None, action: Action::Rpc { method, data } }).await {
        Ok(Reply::Result { data, .. }) => Ok(String::from_utf8_lossy(&data.bytes).into_owned()),
        Ok(Reply::Fault(fault)) => Err(fault.code),
        other => panic!("{other:?} is no answer to a call"),
    }
}

#[tokio::test]
async fn an_application_inside_the_process_answers() {
    let worker = node(application().0, Limits::default());
    assert_eq!(call(&worker, "echo").await, Ok("{\"n\":1}".to_owned()));
    assert_eq!(call(&worker, "other").await, Err(ErrorCode::Forbidden));
}

#[tokio::test]
async fn an_application_that_panics_harms_nobody_else() {
    let worker = node(application().0, Limits { calls: 1, ..Limits::default() });
    for method in ["panic", "at_once", "panic"] {
        assert_eq!(call(&worker, method).await, Err(ErrorCode::Internal), "{method}");
    }
    assert_eq!(call(&worker, "echo").await, Ok("{\"n\":1}".to_owned()));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_dropped() {
    let (rpc, dropped) = application();
    let limits = Limits { calls: 1, call_timeout: Duration::from_millis(50), ..Limits::default() };
    let worker = node(rpc, limits);
    assert_eq!(call(&worker, "never").await, Err(ErrorCode::Timeout));
    dropped.recv_timeout(LONG).expect("nobody waits for it any more");
    assert_eq!(call(&worker, "echo").await, Ok("{\"n\":1}".to_owned()));
}

#[tokio::test]
async fn without_an_application_there_is_nothing_to_call() {
    let worker = node(None, Limits::default());
    assert_eq!(call(&worker, "echo").await, Err(ErrorCode::NotFound));
}
