// Refuses every connection to another machine, and lets a process that tried
// one fail, whatever its SDK makes of the error.
import net from 'node:net';

const here = new Set(['localhost', '127.0.0.1', '::1']);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const [options] = net._normalizeArgs(Array.isArray(args[0]) ? args[0] : args);
  const { host = 'localhost', path } = options;
  if (path === undefined && !here.has(host)) {
    process.stderr.write(`refused: a connection to ${host}\n`);
    process.on('exit', () => { process.exitCode = 86; });
    Object.assign(options, { host: '127.0.0.1', port: 1 }); // where nobody listens
  }
  return connect.apply(this, args);
};
