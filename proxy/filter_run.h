#pragma once
// The filters of one exchange at work: their parts, and a lane for each direction. Lives in the exchange's arena, only where a filter
// takes part.
#include <span>

#include "proxy/filters/filter_chain.h"
#include "proxy/filters/filter_lane.h"

namespace ringside {

class Exchange;

class FilterRun final : private FilterHost {
 public:
  // Null when no filter has a part in this request. Whoever gets one calls the destructor.
  static FilterRun* start(Exchange& exchange, const FilterChain& chain, const Head& request);
  FilterRun(const FilterRun&) = delete;
  FilterRun& operator=(const FilterRun&) = delete;
  ~FilterRun();

  // What comes through goes to Exchange::pass_...
  void on_request_head(Head& head, End end);
  void on_request_body(Slice piece, End end) { request_.on_piece(piece_of(std::move(piece), end)); }
  void on_request_trailers(HeaderMap& fields) { request_.on_piece(piece_of(fields)); }
  void on_response_head(Head& head, End end) { response_.on_head(head, end); }
  void on_response_body(Slice piece, End end) { response_.on_piece(piece_of(std::move(piece), end)); }
  void on_response_trailers(HeaderMap& fields) { response_.on_piece(piece_of(fields)); }
  // An answer of our own, with its whole body; what the body becomes is returned, and lives in the arena.
  std::string_view on_local_reply(Head& head, std::string_view body);
  void on_finish();

  // Before the filters changed it.
  bool was_grpc() const { return was_grpc_; }
  // Bodies went out: how much of the other side's credit that is.
  size_t on_request_sent(size_t body_bytes) { return request_.on_sent(body_bytes); }
  size_t on_response_sent(size_t body_bytes) { return response_.on_sent(body_bytes); }
  bool sees_request_body() const { return request_.sees_body(); }
  bool sees_response_body() const { return response_.sees_body(); }

 private:
  FilterRun(Exchange& exchange, const Head& request);
  class RequestEnd final : public LaneEnd {
   public:
    explicit RequestEnd(Exchange& exchange) : exchange_(exchange) {}
    void pass_head(Head& head, FilterPiece& behind) override;
    void pass_piece(FilterPiece& piece) override;
    void grant(size_t body_bytes) override;

   private:
    Exchange& exchange_;
  };
  class ResponseEnd final : public LaneEnd {
   public:
    explicit ResponseEnd(Exchange& exchange) : exchange_(exchange) {}
    void pass_head(Head& head, FilterPiece& behind) override;
    void pass_piece(FilterPiece& piece) override;
    void grant(size_t body_bytes) override;

   private:
    Exchange& exchange_;
  };
  static FilterPiece piece_of(Slice body, End end);
  static FilterPiece piece_of(HeaderMap& trailers);

  // FilterHost
  Arena& arena() override;
  Worker& worker() override;
  Shard& shard() override;
  HttpVersion downstream_version() const override;
  Cluster* cluster() override;
  Instant upstream_sent() const override;
  size_t kept_bytes_max() const override;
  Place place() const override;
  void watch_tunnel(std::unique_ptr<TunnelWatch> watch) override;
  void answer(const Answer& answer) override;
  void resume_request() override { request_.resume(); }
  void resume_response() override { response_.resume(); }

  Exchange& exchange_;
  std::span<FilterPart*> parts_;
  RequestEnd request_end_;
  ResponseEnd response_end_;
  FilterLane request_;
  FilterLane response_;
  bool was_grpc_;
};

}  // namespace ringside
