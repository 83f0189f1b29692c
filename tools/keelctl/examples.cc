#include "tools/keelctl/examples.h"

#include <iterator>

namespace keel::ctl {
namespace {

constexpr struct {
  std::string_view command;
  std::string_view text;
} kExamples[] = {
    {"keelctl", R"(keelctl put /config/leader n1              # write a key
keelctl get --prefix /config/              # read all below /config/
keelctl watch --prefix --human /config/    # follow changes
keelctl lock /locks/backup -- ./backup.sh  # one at a time, whoever starts it where
keelctl elect /leaders/indexer "$HOSTNAME" # take part in an election
keelctl doctor                             # is everything well?)"},
    {"keelctl put", R"(keelctl put greeting hello
keelctl put greeting < letter.txt          # the value from standard input
keelctl put --lease=694d81417acd4f10 workers/7 here
keelctl put balance -- -5                  # a value that begins with a dash)"},
    {"keelctl get", R"(keelctl get greeting
keelctl get --print-value-only greeting    # the value alone, for scripts
keelctl get --prefix /config/              # every pair below /config/
keelctl get --tree /config                 # the same, and /config itself, as a tree
keelctl get greeting --rev=42              # as it was at revision 42
keelctl get -w json greeting               # with revisions, version and lease)"},
    {"keelctl del", R"(keelctl del greeting
keelctl del --prefix /config/old/          # everything below
keelctl del --prev-kv greeting             # and print what was deleted)"},
    {"keelctl txn", R"(keelctl txn <<END
version("/config/leader") = "0"

put /config/leader n1

get /config/leader

END
# Comparisons, an empty line, what to do if all hold, an empty line, what to do otherwise, an empty line.
# Targets: version, create, mod, value, lease. Relations: = != < >.
keelctl txn -i                             # asks for each part)"},
    {"keelctl compaction", R"(keelctl compaction 1000                    # forget what was before revision 1000
keelctl compaction 1000 --physical         # and wait until the space is free)"},
    {"keelctl watch", R"(keelctl watch greeting                     # until interrupted
keelctl watch --human --prefix /config/    # one line per change
keelctl watch --prefix /config/ --rev=1    # from the beginning of history
keelctl watch --prefix /config/ --exec './reload.sh "$KEEL_WATCH_KEY"'
keelctl watch greeting -- sh -c 'echo "$ETCD_WATCH_VALUE"')"},
    {"keelctl history", R"(keelctl history /config/leader             # every change that is not compacted yet
keelctl history --limit=5 /config/leader   # the last five)"},
    {"keelctl diff", R"(keelctl diff /config/app@12 /config/app@15
keelctl diff /config/app@12 /config/app    # then and now
keelctl diff /config/app /config/app.new   # two keys)"},
    {"keelctl lease grant", R"(keelctl lease grant 60                     # lives for 60 seconds unless renewed)"},
    {"keelctl lease revoke", R"(keelctl lease revoke 694d81417acd4f10      # its keys are deleted)"},
    {"keelctl lease timetolive", R"(keelctl lease timetolive --keys 694d81417acd4f10)"},
    {"keelctl lease list", R"(keelctl lease list)"},
    {"keelctl lease keep-alive", R"(keelctl lease keep-alive 694d81417acd4f10  # until interrupted
keelctl lease keep-alive --once 694d81417acd4f10)"},
    {"keelctl lock", R"(keelctl lock /locks/backup -- ./backup.sh  # run a command under the lock, then let go
keelctl lock /locks/backup                 # hold it until Ctrl-C
keelctl lock --ttl=30 /locks/backup -- sh -c 'upload --token "$KEEL_FENCING_TOKEN"'
# If the lock cannot be kept, the command gets SIGTERM and, before anybody else can have the lock, SIGKILL.)"},
    {"keelctl elect", R"(keelctl elect /leaders/indexer "$HOSTNAME" # wait to be elected, lead until Ctrl-C
keelctl elect --listen /leaders/indexer    # print who leads, now and at every change)"},
    {"keelctl member list", R"(keelctl member list -w table)"},
    {"keelctl member add", R"(keelctl member add n4 --peer-urls=http://10.0.0.4:2380
keelctl member add n4 --peer-urls=http://10.0.0.4:2380 --learner)"},
    {"keelctl member remove", R"(keelctl member remove 8211f1d0f64f3269     # the id as `member list` shows it)"},
    {"keelctl member update", R"(keelctl member update 8211f1d0f64f3269 --peer-urls=http://10.0.0.14:2380)"},
    {"keelctl member promote", R"(keelctl member promote 8211f1d0f64f3269)"},
    {"keelctl member replace", R"(keelctl member replace 8211f1d0f64f3269 http://10.0.0.5:2380 --name=n5)"},
    {"keelctl move-leader", R"(keelctl move-leader 8211f1d0f64f3269       # --endpoints must include the leader)"},
    {"keelctl alarm list", R"(keelctl alarm list)"},
    {"keelctl alarm disarm", R"(keelctl alarm disarm                       # after the cause is gone)"},
    {"keelctl defrag", R"(keelctl defrag --cluster)"},
    {"keelctl downgrade validate", R"(keelctl downgrade validate 3.5)"},
    {"keelctl downgrade enable", R"(keelctl downgrade enable 3.5)"},
    {"keelctl downgrade cancel", R"(keelctl downgrade cancel)"},
    {"keelctl endpoint health", R"(keelctl endpoint health --cluster          # every member, not only --endpoints)"},
    {"keelctl endpoint status", R"(keelctl endpoint status --cluster -w table)"},
    {"keelctl endpoint hashkv",
     R"(keelctl endpoint hashkv --cluster          # equal on all members at equal revisions)"},
    {"keelctl top", R"(keelctl top                                # q or Ctrl-C ends it
keelctl top --once                         # one sample, for scripts
keelctl top --interval=5s --depth=2        # prefixes by their first two parts)"},
    {"keelctl doctor",
     R"(keelctl doctor                             # exit status 0: well, 1: warnings, 2: something is wrong
keelctl doctor -w json)"},
    {"keelctl check perf", R"(keelctl check perf --load=s
keelctl check perf --load=m --auto-compact)"},
    {"keelctl check datascale", R"(keelctl check datascale --load=s)"},
    {"keelctl make-mirror", R"(keelctl make-mirror 10.1.0.1:2379          # until interrupted
keelctl make-mirror --prefix=/config/ --dest-prefix=/mirror/config/ 10.1.0.1:2379
keelctl make-mirror --resume=/_mirror/position 10.1.0.1:2379)"},
    {"keelctl snapshot save", R"(keelctl snapshot save backup --endpoints=10.0.0.1:2379)"},
    {"keelctl snapshot status", R"(keelctl snapshot status -w table backup)"},
    {"keelctl snapshot restore", R"(keelctl snapshot restore backup --name=n1 --data-dir=/var/lib/keel \
  --initial-cluster=n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380 \
  --initial-advertise-peer-urls=http://10.0.0.1:2380 --bump-revision=1000000000 --mark-compacted)"},
    {"keelctl snapshot import-etcd", R"(etcdctl snapshot save etcd.db
keelctl snapshot import-etcd etcd.db --name=n1 --data-dir=/var/lib/keel)"},
    {"keelctl completion", R"(source <(keelctl completion bash)
keelctl completion zsh > ~/.zfunc/_keelctl
keelctl completion fish > ~/.config/fish/completions/keelctl.fish)"},
    {"keelctl man", R"(keelctl man | man -l -
keelctl man > /usr/local/share/man/man1/keelctl.1)"},
    {"keelctl version", R"(keelctl version)"},
};

}  // namespace

std::string_view ExamplesOf(std::string_view command_path) {
  for (const auto& [command, text] : kExamples) {
    if (command == command_path) return text;
  }
  return "";
}

}  // namespace keel::ctl
