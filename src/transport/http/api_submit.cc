// A submission's steps: who holds the tasks that bring files, the files themselves, the broker's call.
#include <algorithm>
#include <iterator>

#include "transport/http/api.h"

namespace codeq::transport::http {

void Api::submit(const Shared& exchange, const Request& request) {
  auto body = decode_submit(request.body, depth_max_);
  if (!body) return respond_error(*exchange, body.error());
  body->submit.task_id = exchange->id;
  exchange->submission = std::make_unique<Submission>();
  exchange->submission->items.push_back(*std::move(body));
  exchange->submission->refused.resize(1);
  check_next_upload(exchange);
}

void Api::submit_batch(const Shared& exchange, const Request& request) {
  auto bodies = decode_submit_batch(request.body, depth_max_);
  if (!bodies) return respond_error(*exchange, bodies.error());
  exchange->batch_count = static_cast<std::int64_t>(bodies->size());
  exchange->submission = std::make_unique<Submission>();
  exchange->submission->refused.resize(bodies->size());
  exchange->submission->items = *std::move(bodies);
  check_next_upload(exchange);
}

// Files are written only for a task that the caller holds and with a submission that would be taken: a refused one leaves
// no files, and no one writes into the folder of somebody else's task.
void Api::check_next_upload(const Shared& exchange) {
  auto& submission = *exchange->submission;
  for (; submission.checking < submission.items.size(); ++submission.checking) {
    auto& item = submission.items[submission.checking];
    if (item.uploads.empty() && !item.refused) continue;
    exchange->waiting_for_broker = true;
    deps_.broker.get_task(exchange->caller, item.submit.task_id, reply_to<services::TaskSnapshot>(exchange));
    return;
  }
  write_uploads(exchange);
}

void Api::took(const Shared& exchange, Result<services::TaskSnapshot>& holder) {
  auto& submission = *exchange->submission;
  auto& item = submission.items[submission.checking];
  auto& refused = submission.refused[submission.checking];
  if (!holder) {
    refused = holder.error().code == Code::kNotFound ? Error{Code::kTaskNotFound, "task not found"} : holder.error();
  } else if (!holder->worker) {
    refused = Error{Code::kNotInProgress, "not-in-progress"};
  } else if (*holder->worker != exchange->caller.subject) {
    refused = Error{Code::kNotOwner, "not-owner"};
  } else if (item.submit.lease_token && *item.submit.lease_token != holder->lease_token) {
    refused = Error{Code::kLeaseLost, "not-in-progress"};
  } else if (item.refused) {
    refused = item.refused;
  } else if (auto fits = check_submission(item.submit); !fits) {
    refused = fits.error();
  } else {
    item.submit.task_id = holder->info->id_text;  // the folder's name: never the caller's spelling of it
    submission.uploading.push_back(submission.checking);
  }
  ++submission.checking;
  check_next_upload(exchange);
}

void Api::write_uploads(const Shared& exchange) {
  auto& submission = *exchange->submission;
  if (submission.uploading.empty()) return submit_items(exchange);
  std::vector<ArtifactJob> jobs;
  for (const auto i : submission.uploading) {
    jobs.push_back({.task_id = submission.items[i].submit.task_id, .uploads = std::move(submission.items[i].uploads)});
  }
  exchange->waiting_for_broker = true;
  artifacts_.write(std::move(jobs), [exchange](std::vector<ArtifactWriter::Written> jobs_written) {
    exchange->answer.emplace<ArtifactsWritten>(std::move(jobs_written));
    const auto inbox = exchange->inbox;
    inbox->push(exchange);
  });
}

void Api::took(const Shared& exchange, ArtifactsWritten& written) {
  auto& submission = *exchange->submission;
  for (std::size_t i = 0; i < submission.uploading.size(); ++i) {
    const auto item = submission.uploading[i];
    auto& artifacts = written.jobs[i];
    if (!artifacts)
      submission.refused[item] = artifacts.error();
    else
      std::move(artifacts->begin(), artifacts->end(), std::back_inserter(submission.items[item].submit.artifacts));
  }
  submit_items(exchange);
}

void Api::submit_items(const Shared& exchange) {
  auto& submission = *exchange->submission;
  std::vector<services::SubmitResult> items;
  for (std::size_t i = 0; i < submission.items.size(); ++i) {
    if (submission.refused[i]) continue;
    auto& submit = submission.items[i].submit;
    auto id = submit.task_id;  // kept: a batch answer names it
    items.push_back(std::move(submit));
    submit.task_id = std::move(id);
  }
  if (!items.empty()) {
    exchange->waiting_for_broker = true;
    deps_.broker.submit(exchange->caller, std::move(items),
                        reply_to<std::vector<Result<services::ResultSnapshot>>>(exchange));
    return;
  }
  exchange->waiting_for_broker = false;
  std::vector<Result<services::ResultSnapshot>> none;
  if (exchange->route->id == RouteId::kSubmitBatch)
    answer_batch_submit(*exchange, none);
  else
    respond_error(*exchange, *submission.refused.front());
}

}  // namespace codeq::transport::http
