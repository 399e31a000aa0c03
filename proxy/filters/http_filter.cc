#include "proxy/filters/http_filter.h"

namespace ringside {

Verdict FilterPart::on_request(Head&, End) { return Verdict::proceed; }
void FilterPart::on_request_body(Buffer&, End) {}
void FilterPart::on_request_trailers(HeaderMap*&, Buffer&) {}
Verdict FilterPart::on_response(Head&, End) { return Verdict::proceed; }
void FilterPart::on_response_body(Buffer&, End) {}
void FilterPart::on_response_trailers(HeaderMap*&, Buffer&) {}
void FilterPart::on_finish() {}

}  // namespace ringside
