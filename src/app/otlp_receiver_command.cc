#include <cstdio>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/otlp_receiver.h"
#include "app/signals.h"

namespace codeq::app {

int otlp_receiver(const Cli& cli) {
  StopSignal stop;
  auto receiver = OtlpReceiver::start({.port = static_cast<std::uint16_t>(cli.receiver.port),
                                       .out_file = cli.receiver.discard      ? ""
                                                   : cli.receiver.out == "-" ? "/dev/stdout"
                                                                             : cli.receiver.out,
                                       .discard = cli.receiver.discard});
  if (!receiver) {
    std::fprintf(stderr, "[ERROR] %s\n", receiver.error().message.c_str());
    return kExitBind;
  }
  std::fprintf(stderr, "receiving spans on %s\n", (*receiver)->endpoint().c_str());
  stop.wait();
  (*receiver)->stop();
  return kExitOk;
}

}  // namespace codeq::app
