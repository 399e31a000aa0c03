// The official Node driver at work, for mongo_driver_test.py: node mongo_client.js <url> <database> [<case>...]. Prints a JSON object
// of results.
const {MongoClient, BSON} = require('mongodb');
const {EJSON} = BSON;

const cases = {
  async crud(db) {
    const things = db.collection('things');
    await things.insertMany(Array.from({length: 500}, (_, i) => ({_id: i, text: 'text ' + i, even: i % 2 == 0})));
    const updated = await things.updateMany({even: true}, {$set: {even: 2}});
    const deleted = await things.deleteMany({_id: {$gte: 400}});
    const replaced = await things.findOneAndReplace({_id: 1}, {text: 'new'}, {returnDocument: 'after'});
    return [updated.modifiedCount, deleted.deletedCount, replaced.text, await things.countDocuments({even: 2})];
  },
  async cursors(db) {
    const seen = await db.collection('things').find({}, {batchSize: 30}).map(each => each._id).toArray();
    const cursor = db.collection('things').find({}, {batchSize: 5});
    await cursor.next();
    await cursor.close();  // killCursors
    return [seen.length, new Set(seen).size];
  },
  async aggregate(db) {
    return db.collection('things').aggregate([{$match: {even: 2}}, {$group: {_id: null, sum: {$sum: '$_id'}}}]).toArray();
  },
  async bulk(db) {
    const result = await db.collection('bulk').bulkWrite([
      {insertOne: {document: {_id: 1}}}, {updateOne: {filter: {_id: 1}, update: {$set: {a: 1}}}}, {deleteOne: {filter: {_id: 1}}}]);
    return [result.insertedCount, result.modifiedCount, result.deletedCount];
  },
  async transactions(db, client) {
    const things = db.collection('transactions');
    await things.insertOne({_id: 0});
    const session = client.startSession();
    await session.withTransaction(() => things.insertOne({_id: 1}, {session}));
    session.startTransaction();
    await things.insertOne({_id: 2}, {session});
    await session.abortTransaction();
    await session.endSession();
    return (await things.find().toArray()).map(each => each._id);
  },
  async changes(db) {
    const stream = db.collection('changes').watch([], {maxAwaitTimeMS: 200});
    const first = stream.next();
    let number = 0;  // until one comes after the stream is open
    const feed = setInterval(() => db.collection('changes').insertOne({_id: number++}).catch(() => {}), 50);
    const change = await first;
    clearInterval(feed);
    await stream.close();
    return change.operationType;
  },
  async unacknowledged(db) {
    const things = db.collection('unacknowledged');
    const result = await things.insertOne({_id: 1}, {writeConcern: {w: 0}});
    while (await things.countDocuments() == 0) await new Promise(done => setTimeout(done, 10));
    return result.acknowledged;
  },
  async errors(db) {
    const said = async promise => promise.then(() => 'nothing', error => error.code);
    await db.collection('errors').insertOne({_id: 1});
    return [await said(db.collection('errors').insertOne({_id: 1})), await said(db.command({nonsense: 1}))];
  },
  async large(db) {
    const data = Buffer.alloc(12_000_000, 'z');
    await db.collection('large').insertOne({_id: 1, data});
    const found = await db.collection('large').findOne({_id: 1});
    return found.data.length() == data.length && data.equals(found.data.buffer.subarray(0, data.length));
  },
};

(async () => {
  const client = new MongoClient(process.argv[2]);
  const name = process.argv[3];
  const results = {};
  await client.db(name).dropDatabase();
  const words = process.argv.length > 4 ? process.argv.slice(4) : Object.keys(cases);
  for (const word of words) results[word] = await cases[word](client.db(name), client);
  await client.close();
  console.log(EJSON.stringify(results));
})().catch(error => { console.error(error); process.exit(1); });
