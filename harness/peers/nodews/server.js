// ws for Node: one process, its default settings without compression.
const { WebSocketServer } = require('ws');
const http = require('http');
const rooms = new Map();
const server = http.createServer();
const wss = new WebSocketServer({ server, perMessageDeflate: false });
wss.on('connection', (c, req) => {
  const room = req.url.startsWith('/room/') ? req.url.slice(6) : '';
  if (room === '') {
    c.on('message', (p, binary) => c.send(p, { binary }));
    return;
  }
  if (!rooms.has(room)) rooms.set(room, new Set());
  const members = rooms.get(room);
  members.add(c);
  c.on('close', () => members.delete(c));
  c.on('message', (p, binary) => { for (const m of members) m.send(p, { binary }); });
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => console.log('listening on 127.0.0.1:' + server.address().port));
process.on('SIGTERM', () => process.exit(0));
