#include "transport/tls/context.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>

#include "transport/tls/test_tls.h"
#include "transport/tls/watcher.h"

namespace codeq::transport {
namespace {

using namespace std::chrono_literals;

const Issued& authority() {
  static const Issued ca = issue("Test CA", nullptr, true);
  return ca;
}

struct TlsContextTest : testing::Test {
  // The certificate of `name` and its key, as files.
  TlsOptions files(const std::string& name = "one") {
    const auto issued = issue(name, &authority());
    return {.certificate_file = folder.write("cert.pem", issued.certificate_pem()),
            .key_file = folder.write("key.pem", issued.key_pem())};
  }
  std::string error_of(const TlsOptions& options) {
    const auto opened = TlsContext::open(options);
    if (opened) return "";
    EXPECT_EQ(opened.error().code, Code::kInvalidArgument);
    return opened.error().message;
  }
  TlsFolder folder;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(TlsContextTest, AnErrorNamesTheFileAndWhatIsWrongWithIt) {
  const auto good = files();
  auto options = good;
  options.certificate_file = folder.path("none.pem");
  EXPECT_EQ(error_of(options), folder.path("none.pem") + ": No such file or directory");
  options.certificate_file = folder.write("text.pem", "no certificate");
  EXPECT_TRUE(has(error_of(options), "text.pem: no certificate can be read from it")) << error_of(options);
  options = good;
  options.key_file = good.certificate_file;
  EXPECT_TRUE(has(error_of(options), "cert.pem: no private key can be read from it")) << error_of(options);
  options.key_file = folder.write("other.pem", issue("other", nullptr).key_pem());
  EXPECT_TRUE(has(error_of(options), "other.pem: not the key of the certificate in")) << error_of(options);
  options.key_file = folder.path("");
  EXPECT_TRUE(has(error_of(options), "is not a file")) << error_of(options);
  mkfifo(folder.path("pipe").c_str(), 0600);
  options.key_file = folder.path("pipe");
  EXPECT_TRUE(has(error_of(options), "is not a file")) << error_of(options);
}

TEST_F(TlsContextTest, AnEncryptedKeyIsRefusedWithoutAQuestionOnTheTerminal) {
  auto options = files();
  const auto issued = issue("locked", nullptr);
  auto* bio = BIO_new(BIO_s_mem());
  std::string passphrase = "secret";
  PEM_write_bio_PrivateKey(bio, issued.key.get(), EVP_aes_128_cbc(), nullptr, 0, nullptr, passphrase.data());
  options.key_file = folder.write("locked.pem", pem_of(bio));
  EXPECT_TRUE(has(error_of(options), "it must be PEM and not encrypted")) << error_of(options);
}

TEST_F(TlsContextTest, ClientsCannotBeAskedWithoutTheirAuthority) {
  auto options = files();
  options.client_auth = TlsClientAuth::kRequire;
  EXPECT_TRUE(has(error_of(options), "file of their CAs"));
  options.client_ca_file = folder.path("none.pem");
  EXPECT_TRUE(has(error_of(options), "No such file"));
  options.client_ca_file = options.key_file;
  EXPECT_TRUE(has(error_of(options), "no certificates can be read from it")) << error_of(options);
  options.client_ca_file = folder.write("ca.pem", authority().certificate_pem());
  EXPECT_EQ(error_of(options), "");
}

TEST_F(TlsContextTest, TheExpiryOfTheCertificateInUseIsKnown) {
  const auto context = TlsContext::open(files());
  ASSERT_TRUE(context) << context.error().message;
  const auto left = (*context)->stats().not_after_s - std::time(nullptr);
  EXPECT_GT(left, 86'000);
  EXPECT_LE(left, 86'400);
}

TEST_F(TlsContextTest, UnchangedFilesAreNotReadAgainAndBrokenOnesOnlyOnce) {
  const auto opened = TlsContext::open(files());
  ASSERT_TRUE(opened);
  auto& context = **opened;
  const auto look_twice = [&] {
    EXPECT_EQ(context.reload_if_changed().value(), false) << "perhaps somebody is at it";
    return context.reload_if_changed();
  };
  EXPECT_EQ(look_twice().value(), false);
  files("two");
  EXPECT_EQ(look_twice().value(), true);
  EXPECT_EQ(look_twice().value(), false);
  folder.write("key.pem", "half a key");
  EXPECT_FALSE(look_twice());
  EXPECT_EQ(look_twice().value(), false) << "told once";
  EXPECT_FALSE(context.reload()) << "unless somebody asks for it";
  files("three");
  EXPECT_EQ(look_twice().value(), true);
  EXPECT_EQ(context.stats().reloads, 2U);
  EXPECT_EQ(context.stats().reloads_failed, 2U);
}

TEST_F(TlsContextTest, ACertificateWhoseKeyIsStillToComeIsNotReadYet) {
  const auto context = TlsContext::open(files()).value();
  const auto issued = issue("two", &authority());
  folder.write("cert.pem", issued.certificate_pem());
  EXPECT_EQ(context->reload_if_changed().value(), false);
  folder.write("key.pem", issued.key_pem());
  EXPECT_EQ(context->reload_if_changed().value(), false);
  EXPECT_EQ(context->reload_if_changed().value(), true);
  EXPECT_EQ(context->stats().reloads_failed, 0U);
}

TEST_F(TlsContextTest, TheWatcherReloadsWhatHasChangedAndWhatItIsAskedFor) {
  const auto context = TlsContext::open(files()).value();
  std::atomic<int> good = 0, bad = 0;
  const auto count = [&](const TlsContext&, const Result<void>& result) {
    ++(result ? good : bad);
    good.notify_all();
    bad.notify_all();
  };
  {
    TlsWatcher watcher({context}, 1h, count);
    watcher.reload_now();
    good.wait(0);
    folder.write("key.pem", "nothing");
    watcher.reload_now();
    bad.wait(0);
  }
  {
    TlsWatcher watcher({context}, 1ms, count);
    files("two");  // it may catch the new certificate with the old key
    const auto before = good.load();
    good.wait(before);
    EXPECT_GT(good.load(), before);
  }
}

}  // namespace
}  // namespace codeq::transport
