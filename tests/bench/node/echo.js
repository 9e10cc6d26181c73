// Echo server on Node's net, one process. Prints "port N".
'use strict';
const net = require('net');

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on('data', (chunk) => socket.write(chunk));
  socket.on('error', () => socket.destroy());
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  console.log(`port ${server.address().port}`);
});
setTimeout(() => process.exit(1), 100000);
