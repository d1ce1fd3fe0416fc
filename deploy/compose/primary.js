// mongodb's health check: makes the replica set at the first start, and succeeds only where
// a primary takes writes.
//
// The one member is called 127.0.0.1:PORT. So from the host the usual URL works,
// mongodb://127.0.0.1:27017/?replicaSet=rs0. Other containers cannot go by that name; with
// one member there is nothing to discover, and they use ?directConnection=true.
const host = `127.0.0.1:${process.env.MONGODB_PORT}`;

try {
  const config = rs.conf();
  if (config.members[0].host !== host) {
    // The data was made by another set-up, or on another port.
    config.members = [{ _id: 0, host }];
    config.version += 1;
    rs.reconfig(config, { force: true });
  }
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host }] });
}
if (!db.hello().isWritablePrimary) quit(1);
