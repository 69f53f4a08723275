// Workers over HTTP/2: node http2.js DIR PORT TLS-PORT. DIR has server.key and server.pem. Each job is
// noted in DIR/handled.TOPIC, each request in DIR/came.TOPIC. The topic "rude" does what a job says.
const fs = require('fs'), http2 = require('http2');
const [dir, h2c, h2s] = process.argv.slice(2);
const read = (stream, done) => {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => done(Buffer.concat(parts)));
};
let sessions = 0, refused = 0;
const worker = (stream, headers) => read(stream, (body) => {
  const form = new URLSearchParams(body.toString());
  if (!form.get('type')) return; // the connection ended within it
  fs.appendFileSync(`${dir}/came.${form.get('topic')}`,
    `${headers[':authority']} ${headers['x-shop']} over ${stream.session && stream.session.number}\n`);
  const answer = {':status': 200, code: '200'};
  let after = 2;
  if (form.get('type') === 'ping') {
    answer['consume-topics'] = 'qnode/node,qnodetls/nodetls,qbrief/brief,qrude/rude';
  } else if (form.get('topic') === 'rude') {
    const [job] = JSON.parse(form.get('jobs'));
    if (job.content === 'refused' && ++refused <= 3) /* who refuses has not looked at it */
      return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    fs.appendFileSync(`${dir}/handled.rude`, `${job.id} ${job.RetryTimes} ${job.content}\n`);
    const rude = job.RetryTimes === 1 ? job.content : '';
    if (rude === 'reset') return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    if (rude === 'destroy') return stream.session.destroy();
    if (rude === 'hang') return undefined;
    if (rude === 'goaway') stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR);
    if (rude === 'half') {
      stream.respond(answer);
      stream.write('half of it');
      return setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 20);
    }
  } else {
    for (const job of JSON.parse(form.get('jobs'))) {
      fs.appendFileSync(`${dir}/handled.${form.get('topic')}`, `${job.id} ${job.RetryTimes} ${job.content}\n`);
      if (job.content === 'slow') after = 1000;
    }
  }
  setTimeout(() => {
    if (stream.destroyed) return;
    stream.respond(answer);
    stream.end('done');
  }, after);
});
for (const [server, port] of [
  [http2.createServer(), h2c],
  [http2.createSecureServer({key: fs.readFileSync(`${dir}/server.key`),
    cert: fs.readFileSync(`${dir}/server.pem`), allowHTTP1: false}), h2s]]) {
  server.on('session', (session) => { session.number = ++sessions; });
  server.on('sessionError', () => {});
  server.on('stream', (stream, headers) => worker(stream.on('error', () => {}), headers));
  server.listen(Number(port), '127.0.0.1', () => console.log(`listening on ${port}`));
}
