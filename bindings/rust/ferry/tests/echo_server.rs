//! The example, as a process of its own.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_echoes() {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples");
    let command = Command::new(folder.join("echo_server")).stdout(Stdio::piped()).spawn();
    let mut server = Server(command.unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().strip_prefix("port ").unwrap().parse().unwrap();
    let mut clients: Vec<_> =
        (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&vec![number as u8; 10_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back, vec![number as u8; 10_000]);
    }
}
