import de.bwaldvogel.mongo.backend.memory.MemoryBackend;

/** mongo-java-server on a port of one's choice; run from its source. */
class MongoServer {
  public static void main(String[] arguments) {
    new de.bwaldvogel.mongo.MongoServer(new MemoryBackend()).bind("127.0.0.1", Integer.parseInt(arguments[0]));
  }
}
