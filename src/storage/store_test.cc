// The store in memory under the contract of all stores.
#include "storage/contract/store_contract.h"
#include "storage/memory/memory_store.h"

namespace codeq::storage {
namespace {

class InMemory final : public Subject {
 public:
  Store& store() override { return store_; }
  void restart() override { store_.crash(); }

 private:
  MemoryStore store_;
};

INSTANTIATE_TEST_SUITE_P(Memory, StoreContract,
                         ::testing::Values(Kind{"Memory", [] { return std::make_unique<InMemory>(); }}), name_of_kind);

}  // namespace
}  // namespace codeq::storage
