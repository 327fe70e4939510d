// What each route does: check who asks, decode, call the broker, and later turn its answer into a response.
//
// Shape    start() either leaves a complete response in the exchange or has asked the broker, whose answer comes through the
//          exchange's inbox; finish() takes that answer and does the same again
// Threads  start and finish on the io thread of the exchange; the object itself is shared by all of them
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/http/exchange.h"
#include "transport/http/json_write.h"
#include "transport/http/server.h"

namespace codeq::transport::http {

using Shared = std::shared_ptr<Exchange>;

// Gives the tasks of a claim back that nobody will see. Needs the broker alone, so that it also works for an answer that
// comes after the server has gone.
void give_back(services::Broker& broker, const Exchange& exchange);

class Api {
 public:
  Api(const HttpOptions& options, HttpDeps deps);

  // `head_read_ns`: steady time at which the request's head was complete.
  // `overloaded`: to be refused, once it is known who asks. `request` is moved from where a key has to be fetched first.
  void start(const Shared& exchange, Request& request, std::int64_t head_read_ns, bool overloaded = false);
  void finish(const Shared& exchange);

  // The client of `exchange` has gone while the broker works on it.
  void client_gone(Exchange& exchange);
  // `exchange` was answered without `start`.
  void count_refused(const Exchange& exchange);
  // The answer of `exchange` came when nobody was there to read it any more.
  void nobody_reads(Exchange& exchange);

  // An answer that no route made: bad input on the wire, an unknown path.
  static void respond_error(Exchange& exchange, const Error& error);
  // `given`: the request's own header; echoed where it is a bounded line of visible ASCII.
  void set_request_id(Exchange& exchange, const std::string& given);

  void set_stopping() { stopping_.store(true); }
  [[nodiscard]] std::size_t parked_polls() const { return parked_.load(); }
  [[nodiscard]] Clock& clock() const { return deps_.clock; }
  [[nodiscard]] services::Broker& broker() const { return deps_.broker; }

 private:
  void begin(const Shared& exchange, Request& request, std::int64_t head_read_ns, bool overloaded);
  void open_span(Exchange& exchange, const Request& request, core::TraceContext& incoming);
  static bool url_path(const Exchange& exchange, std::string& path);  // false: it holds what is no id
  void close_span(Exchange& exchange);
  // Who asks, and whether they may (api_admit.cc): goes on to `route`, now or when a key has been fetched.
  void authenticate(const Shared& exchange, Request& request, std::string_view query, core::TraceContext incoming,
                    bool overloaded);
  void took(const Shared& exchange, Result<services::Principal>& who);
  [[nodiscard]] bool admit(Exchange& exchange, const Request& request, Result<services::Principal>& who, bool overloaded);
  [[nodiscard]] bool within_rate(Exchange& exchange, const Request& request);
  void route(const Shared& exchange, const Request& request, std::string_view query, core::TraceContext incoming,
             const services::Principal& principal);

  void create(const Shared& exchange, const Request& request, core::TraceContext incoming);
  void create_batch(const Shared& exchange, const Request& request, const core::TraceContext& incoming);
  void claim(const Shared& exchange, const Request& request, const services::Principal& principal);
  void heartbeat(const Shared& exchange, const Request& request);
  void abandon(const Shared& exchange, const Request& request);
  void nack(const Shared& exchange, const Request& request);
  void submit(const Shared& exchange, const Request& request);
  void submit_batch(const Shared& exchange, const Request& request);
  void get_result(const Shared& exchange, std::string_view query);
  void get_trace(const Shared& exchange, std::string_view query);
  void list_deliveries(const Shared& exchange, std::string_view query);
  void replay_delivery(const Shared& exchange);
  void cleanup(const Shared& exchange, const Request& request);
  void put_topic(const Shared& exchange, const Request& request);  // api_topics.cc, with what answers
  void topic(const Shared& exchange, std::string_view query);
  void subscribe(const Shared& exchange, const Request& request, const services::Principal& principal);
  void subscription(const Shared& exchange, const Request& request);
  static void answer_topic(Exchange& exchange, const core::Topic& topic, bool created);
  void answer_subscription(Exchange& exchange, const core::Subscription& subscription) const;
  void answer_subscriptions(Exchange& exchange, const std::vector<core::Subscription>& subscriptions) const;
  // api_admin.cc
  void list_tasks(const Shared& exchange, std::string_view query);
  void cancel(const Shared& exchange, const Request& request);
  void admin_queue(const Shared& exchange);
  void list_dead_letters(const Shared& exchange, std::string_view query);
  void redrive_or_purge(const Shared& exchange, const Request& request);
  void answer_admin(Exchange& exchange, const services::TaskPage& page) const;
  void answer_admin(Exchange& exchange, const services::DeadLetterPage& page) const;
  static void answer_admin(Exchange& exchange, const services::DeadLetterOutcome& outcome);
  static void answer_admin(Exchange& exchange, const services::QueueStats& stats);
  static void answer_admin(Exchange& exchange, const std::vector<services::TenantQueue>& queues);

  // One that was counted as begun has ended.
  void count_ended(const Exchange& exchange, int code);
  void readyz(Exchange& exchange, std::string_view query);
  void metrics(const Shared& exchange, const Request& request);

  // A submission's steps: who holds the tasks that bring files, the files, the call.
  void check_next_upload(const Shared& exchange);
  void write_uploads(const Shared& exchange);
  void submit_items(const Shared& exchange);
  void took(const Shared& exchange, Result<services::TaskSnapshot>& holder);
  void took(const Shared& exchange, ArtifactsWritten& written);

  [[nodiscard]] bool park(Exchange& exchange);
  void answer_batch_create(Exchange& exchange, std::vector<Result<services::TaskSnapshot>>& tasks) const;
  void answer_batch_submit(Exchange& exchange, std::vector<Result<services::ResultSnapshot>>& results) const;
  void answer_claim(Exchange& exchange, Result<std::vector<services::TaskSnapshot>>& tasks) const;
  [[nodiscard]] std::string delivery_page(const std::vector<services::DeliverySnapshot>& deliveries) const;

  struct Visitor;

  HttpDeps deps_;
  ZoneOffset zone_;
  std::size_t depth_max_;
  std::size_t parked_max_;
  bool dev_role_header_;
  std::string version_json_;
  std::vector<observe::RouteFigures*> figures_;  // by the place in routes(), then one for no route; empty: nobody counts
  bool secure_;  // the server speaks TLS
  std::atomic<std::size_t> parked_{0};
  std::atomic<bool> stopping_{false};
  ArtifactWriter artifacts_;  // last: its thread ends before anything that its answers use
};

}  // namespace codeq::transport::http
