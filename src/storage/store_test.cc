// The stores that the contract is asked of.
#include "storage/store.h"

#include "storage/contract/store_contract.h"
#include "storage/memory/memory_store.h"

namespace codeq::storage {
namespace {

INSTANTIATE_TEST_SUITE_P(Memory, StoreContract,
                         ::testing::Values(MakeStore([] { return std::make_unique<MemoryStore>(); })));

}  // namespace
}  // namespace codeq::storage
