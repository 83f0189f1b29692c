#include <iterator>

#include "tools/keelctl/commands.h"
#include "tools/keelctl/key_tree.h"
#include "tools/keelctl/kv_flags.h"

namespace keel::ctl {
namespace {

Outcome RunPut(Context& context, const PutFlags& flags) {
  auto op = flags.Resolve();
  if (!op.ok()) return Outcome::Of(op.status(), FlagErrorCode(op.status()));
  if (!flags.has_value() && !flags.ignore_value) {
    op->value.assign(std::istreambuf_iterator<char>(context.in), {});
    if (op->value.empty()) {
      return Outcome::BadArguments("put command needs 1 argument and input from stdin or 2 arguments");
    }
  }
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->kv().Put(op->key, op->value, op->options);
  if (!response.ok()) return Outcome::Of(response.status());
  PrinterFor(context)->Put(*response);
  return Outcome::Ok();
}

// Pairs are printed as they come. The formats that say something of the whole in front of the pairs need them all.
Outcome StreamGet(Context& context, Kv& kv, const GetOp& op, const GetStyle& style) {
  const bool whole = context.flags.format != Format::kSimple;
  const std::unique_ptr<Printer> printer = PrinterFor(context);
  std::vector<KeyValue> all;
  auto response = kv.GetStream(op.key, op.options, [&](std::vector<KeyValue> kvs) {
    if (whole) {
      all.insert(all.end(), std::make_move_iterator(kvs.begin()), std::make_move_iterator(kvs.end()));
    } else {
      printer->Get(RangeResponse{.kvs = std::move(kvs)}, style);
    }
    // Nobody reads on: a pipe that was closed.
    return context.out.good() ? absl::OkStatus() : absl::CancelledError("the output cannot be written");
  });
  if (!response.ok()) return Outcome::Of(response.status());
  response->kvs = std::move(all);
  if (whole || style.count_only) printer->Get(*response, style);
  return Outcome::Ok();
}

// An interval as it is given; of a key alone, the key and what is below it, as a path has it: "a" and "a/b", not "ab".
Outcome TreeGet(Context& context, Kv& kv, const GetOp& op, const TreeStyle& style) {
  RangeOptions below = op.options;
  std::string top = op.key;
  const bool is_path = !below.prefix && !below.from_key && below.range_end.empty();
  if (is_path) {
    below.prefix = true;
    if (!top.empty() && top.back() != '/') top += '/';
  }
  std::vector<KeyValue> kvs;
  auto streamed = kv.GetStream(top, below, [&](std::vector<KeyValue> piece) {
    kvs.insert(kvs.end(), std::make_move_iterator(piece.begin()), std::make_move_iterator(piece.end()));
    return absl::OkStatus();
  });
  if (!streamed.ok()) return Outcome::Of(streamed.status());
  if (top != op.key) {
    RangeOptions alone = op.options;
    alone.revision = streamed->header.revision;
    auto itself = kv.Get(op.key, alone);
    if (!itself.ok()) return Outcome::Of(itself.status());
    kvs.insert(kvs.begin(), itself->kvs.begin(), itself->kvs.end());
  }
  context.out << KeyTree(kvs, style);
  return Outcome::Ok();
}

Outcome RunGet(Context& context, const GetFlags& flags, bool stream, bool tree) {
  auto op = flags.Resolve();
  if (!op.ok()) return Outcome::Of(op.status(), FlagErrorCode(op.status()));
  if (flags.style.values_only && context.flags.format != Format::kSimple) {
    return Outcome::BadArguments("print-value-only is only for `--write-out=simple`");
  }
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  if (tree) {
    if (context.flags.format != Format::kSimple || flags.style.values_only || flags.style.count_only) {
      return Outcome::BadArguments("--tree is a format of its own: leave -w, --print-value-only and --count-only out");
    }
    return TreeGet(context, (*client)->kv(), *op, {.values = !flags.style.keys_only});
  }
  if (stream) return StreamGet(context, (*client)->kv(), *op, flags.style);
  auto response = (*client)->kv().Get(op->key, op->options);
  if (!response.ok()) return Outcome::Of(response.status());
  PrinterFor(context)->Get(*response, flags.style);
  return Outcome::Ok();
}

Outcome RunDel(Context& context, const DelFlags& flags) {
  auto op = flags.Resolve();
  if (!op.ok()) return Outcome::Of(op.status(), FlagErrorCode(op.status()));
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->kv().Delete(op->key, op->options);
  if (!response.ok()) return Outcome::Of(response.status());
  PrinterFor(context)->Delete(*response);
  return Outcome::Ok();
}

}  // namespace

void AddKvCommands(CLI::App& app, Context& context, Outcome& outcome) {
  auto put = std::make_shared<PutFlags>();
  put->AddTo(*AddCommand(app, "put", "write a key", Formats::kNoTable, context, outcome,
                         [&context, put] { return RunPut(context, *put); }));
  auto get = std::make_shared<GetFlags>();
  auto stream = std::make_shared<bool>(false);
  auto tree = std::make_shared<bool>(false);
  CLI::App* reading = AddCommand(app, "get", "read a key or a range of keys", Formats::kNoTable, context, outcome,
                                 [&context, get, stream, tree] { return RunGet(context, *get, *stream, *tree); });
  get->AddTo(*reading);
  reading->add_flag("--stream", *stream, "take the answer in pieces: for ranges of any size");
  reading->add_flag("--tree", *tree, "print a tree of the parts between slashes: the key and all below it");
  auto del = std::make_shared<DelFlags>();
  del->AddTo(*AddCommand(app, "del", "delete a key or a range of keys", Formats::kNoTable, context, outcome,
                         [&context, del] { return RunDel(context, *del); }));

  struct Compaction {
    int64_t revision = 0;
    bool physical = false;
  };
  auto compaction = std::make_shared<Compaction>();
  CLI::App* command =
      AddCommand(app, "compaction", "drop the history below a revision", Formats::kIgnored, context, outcome,
                 [&context, compaction] {
                   auto client = context.client();
                   if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
                   auto response = (*client)->kv().Compact(compaction->revision, {.physical = compaction->physical});
                   if (!response.ok()) return Outcome::Of(response.status());
                   context.out << "compacted revision " << compaction->revision << "\n";
                   return Outcome::Ok();
                 });
  command->add_option("revision", compaction->revision, "revision to keep")->required();
  command->add_flag("--physical", compaction->physical, "return only when the space is free");
}

}  // namespace keel::ctl
