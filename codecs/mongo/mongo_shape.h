#pragma once
// The shape of a command: which fields it has, not what is in them. For logs.
#include <cstddef>
#include <string>
#include <string_view>

namespace ringside {

// Appends the document as a JSON text in which every literal is the name of its type: {"find":"?string","filter":{"age":
// {"$gt":"?int32"}}}. Field names are kept (control characters and quotes escaped), arrays of equal shapes collapse to their
// first element and "...". The value of the first key (a collection's name), sizes such as limit, and everything else are
// literals, too. lsid, $clusterTime, client, comment, the fields of authentication and all that begins with `$` at the top but
// operators are left out. `document` may be cut anywhere: the shape then ends with "...". At most `bytes_max` bytes are added
// (at least 64), the text stays valid JSON.
void append_mongo_shape(std::string& out, std::string_view document, size_t bytes_max);

}  // namespace ringside
