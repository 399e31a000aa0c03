#include "tls/record_bio.h"

#include "core/check.h"
#include "tls/openssl_types.h"

namespace ringside {
namespace {

RecordPort& port_of(BIO* bio) { return *static_cast<RecordPort*>(BIO_get_data(bio)); }

int read_record(BIO* bio, char* room, size_t size, size_t* got) {
  BIO_clear_retry_flags(bio);
  *got = port_of(bio).read_cipher(room, size);
  if (*got > 0) return 1;
  BIO_set_retry_read(bio);
  return -1;
}

int write_record(BIO* bio, const char* bytes, size_t size, size_t* written) {
  BIO_clear_retry_flags(bio);
  port_of(bio).write_cipher(bytes, size);
  *written = size;
  return 1;
}

// Flushing is the transport's affair; everything else does not concern a pipe.
long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* record_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "records");
    RS_CHECK(made != nullptr);
    BIO_meth_set_read_ex(made, read_record);
    BIO_meth_set_write_ex(made, write_record);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

}  // namespace

bio_st* make_record_bio(RecordPort& port) {
  BIO* bio = BIO_new(record_method());
  RS_CHECK(bio != nullptr);
  BIO_set_data(bio, &port);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace ringside
