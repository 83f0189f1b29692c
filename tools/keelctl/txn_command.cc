#include "tools/keelctl/commands.h"
#include "tools/keelctl/printer.h"
#include "tools/keelctl/txn_script.h"

namespace keel::ctl {

void AddTxnCommand(CLI::App& app, Context& context, Outcome& outcome) {
  auto interactive = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(app, "txn", "execute a transaction read from standard input", Formats::kNoTable,
                                 context, outcome, [&context, interactive] {
                                   auto txn = ReadTxn(context.in, *interactive ? &context.out : nullptr);
                                   if (!txn.ok()) return Outcome::Of(txn.status(), kExitInvalidInput);
                                   auto client = context.client();
                                   if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
                                   auto response = (*client)->kv().Commit(*txn);
                                   if (!response.ok()) return Outcome::Of(response.status());
                                   PrinterFor(context)->Txn(*response);
                                   return Outcome::Ok();
                                 });
  command->add_flag("-i,--interactive", *interactive, "ask for each part");
}

}  // namespace keel::ctl
