/* Owns the tables of the core's own keys: the one place where a key, its default, its limits,
 * its title and its help stand. Parsing, checking, --dump-config, the sample file, the reference
 * and the manual follow from here, and later the forms of the console.
 */
#include "config/private.h"

#include <string.h>

#define DAY_MS           INT64_C(86400000)
#define OF(type, member) offsetof(struct type##_raw, member)

static const struct core_option server_options[] = {
    {.title = "Node name",
     .o = {.name = "node",
           .type = PB_OPT_STRING,
           .offset = OF(server, s.node),
           .help = "Name of this node. Each node of a storage needs another name. Empty: the host "
                   "name."},
     .help_zh = "本节点的名称，同一存储的各节点名称不能相同。留空：使用主机名。"},
    {.title = "Port for producers",
     .o = {.name = "listen",
           .type = PB_OPT_LIST,
           .offset = OF(server, s.listen),
           .def = "127.0.0.1:12017",
           .help = "Addresses where producers and pull workers connect (Redis protocol): a list of "
                   "HOST:PORT, [IPV6]:PORT or unix:/PATH."},
     .help_zh = "生产者和拉取型 worker 连接的地址（Redis 协议）：HOST:PORT、[IPV6]:PORT 或 "
                "unix:/PATH，可写多个。"},
    {.title = "Admin port",
     .o = {.name = "admin",
           .type = PB_OPT_STRING,
           .offset = OF(server, s.admin),
           .def = "127.0.0.1:19840",
           .help = "Address of console, HTTP API and /metrics. Empty: there is no admin port."},
     .help_zh = "控制台、HTTP API 和 /metrics 的地址。留空：不开放管理端口。"},
    {.title = "More host names",
     .o = {.name = "hosts",
           .type = PB_OPT_LIST,
           .offset = OF(server, s.hosts),
           .help = "More host names of the admin port, for example bus.example.com. IP addresses, "
                   "localhost, the host name, node and the name in admin are always accepted. A "
                   "request with another name is refused, since a web page may have sent it."},
     .help_zh = "访问管理端口时还可以使用的主机名，例如 bus.example.com。IP "
                "地址、localhost、本机主机名、node 以及 admin "
                "中的名称始终可用。使用其他主机名的请求会被拒绝，因为它可能来自恶意网页。"},
    {.title = "Detail of metrics",
     .o = {.name = "metrics",
           .type = PB_OPT_CHOICE,
           .offset = OF(server, s.metrics),
           .choices = "auto,totals,topics",
           .def = "auto",
           .help = "What /metrics shows: sums over all queues and topics, or each queue and topic. "
                   "auto: each of them, up to 1000 topics. /metrics?detail=topic always shows each "
                   "of them, ?detail=total always the sums."},
     .help_zh = "/metrics 的内容：所有队列和 topic 的合计，或逐个列出。auto：topic 不超过 1000 "
                "个时逐个列出。/metrics?detail=topic 始终逐个列出，?detail=total 始终只给合计。"},
    {.title = "Metrics need the token",
     .o = {.name = "metrics_auth",
           .type = PB_OPT_BOOL,
           .offset = OF(server, s.metrics_auth),
           .def = "no",
           .help = "yes: /metrics needs the token, too."},
     .help_zh = "yes：访问 /metrics 也需要令牌。"},
    {.title = "Old metric names",
     .o = {.name = "legacy_metrics",
           .type = PB_OPT_BOOL,
           .offset = OF(server, s.legacy_metrics),
           .def = "yes",
           .help = "yes: /metrics also has the names of the first Pepperbus, for old dashboards."},
     .help_zh = "yes：/metrics 同时提供最初版 Pepperbus 的指标名，供旧的监控面板使用。"},
    {.title = "Systems of this node",
     .o = {.name = "systems",
           .type = PB_OPT_LIST,
           .offset = OF(server, s.systems),
           .help = "Systems whose topics this node runs. The node accepts jobs for all systems. "
                   "Empty: all."},
     .help_zh = "本节点运行哪些系统的 topic。节点接收所有系统的任务。留空：所有系统。"},
    {.title = "State folder",
     .o = {.name = "state_dir",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(server, s.state_dir),
           .def = "/var/lib/pepperbus",
           .help = "Folder for files that must survive a restart. It may be relative to the folder "
                   "of this file."},
     .help_zh = "存放重启后仍需保留的文件的目录，可以是相对于本文件所在目录的路径。"},
    {.title = "Plugin folder",
     .o = {.name = "plugin_dir",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(server, s.plugin_dir),
           .help = "Folder of the transports. It may be relative to the folder of this file. "
                   "Empty: the folder that was compiled in, for example /usr/lib/pepperbus."},
     .help_zh = "传输插件所在的目录，可以是相对于本文件所在目录的路径。留空：编译时指定的目录，例如"
                " /usr/lib/pepperbus。"},
    {.title = "Console folder",
     .o = {.name = "console_dir",
           .type = PB_OPT_STRING,
           .offset = OF(server, s.console_dir),
           .help = "Folder of the console's files. It may be relative to the folder of this file. "
                   "It takes effect at the next start. Empty: the folder that was compiled in, for "
                   "example /usr/share/pepperbus/console."},
     .help_zh = "控制台文件所在的目录，可以是相对于本文件所在目录的路径，下次启动时生效。留空：编译"
                "时指定的目录，例如 /usr/share/pepperbus/console。"},
    {.title = "More files",
     .o = {.name = "include",
           .type = PB_OPT_LIST,
           .flags = PB_OPT_LOCAL,
           .offset = OF(server, include),
           .help = "More files to read, for example conf.d/*.ini. They are relative to this file."},
     .help_zh = "还要读取的文件，例如 conf.d/*.ini，路径相对于本文件。"},
    {.title = "Clients",
     .o = {.name = "max_clients",
           .type = PB_OPT_INT,
           .offset = OF(server, s.max_clients),
           .min = 1,
           .max = 10000000,
           .def = "10000",
           .help = "Connections of producers and pull workers at a time. More connections are "
                   "refused with an error."},
     .help_zh = "生产者和拉取型 worker 的最大同时连接数。超出的连接会收到错误并被拒绝。"},
    {.title = "Job size",
     .o = {.name = "max_job_size",
           .type = PB_OPT_SIZE,
           .offset = OF(server, s.max_job_size),
           .min = 1024,
           .max = 512 << 20,
           .def = "8mb",
           .help = "A larger job is refused with an error."},
     .help_zh = "超过此大小的任务会被拒绝并返回错误。"},
    {.title = "Arguments of a command",
     .o = {.name = "max_arguments",
           .type = PB_OPT_INT,
           .offset = OF(server, s.max_arguments),
           .min = 16,
           .max = 16 << 20,
           .def = "1048576",
           .help =
               "Arguments of one command after AUTH. It bounds the number of jobs of one LPUSH."},
     .help_zh = "通过 AUTH 认证后，单条命令的参数个数上限。它也限制了一次 LPUSH 能添加的任务数。"},
    {.title = "Unread replies of a client",
     .o = {.name = "max_output",
           .type = PB_OPT_SIZE,
           .offset = OF(server, s.max_output),
           .min = 64 << 10,
           .max = INT64_C(16) << 30,
           .def = "64mb",
           .help =
               "Size of the replies that one client has not read. Over it the client is cut off."},
     .help_zh = "单个客户端尚未读取的响应的总大小上限，超过则断开该客户端。"},
    {.title = "Open commands of a client",
     .o = {.name = "max_inflight",
           .type = PB_OPT_INT,
           .offset = OF(server, s.max_inflight),
           .min = 1,
           .max = 10000000,
           .def = "10000",
           .help = "Commands of one client that wait for their replies. Over it the broker reads "
                   "no more from the client."},
     .help_zh = "单个客户端等待响应的命令数上限，达到后 broker 暂停读取该客户端的数据。"},
    {.title = "Time to authenticate",
     .o = {.name = "auth_timeout",
           .type = PB_OPT_DURATION,
           .offset = OF(server, s.auth_timeout_ms),
           .min = 100,
           .max = 3600000,
           .def = "10s",
           .help = "A client that has not authenticated by then is cut off. After AUTH it may be "
                   "idle for ever."},
     .help_zh = "客户端在此时间内未通过认证则断开。通过 AUTH 后可以一直空闲。"},
    {.title = "Wrong passwords a minute",
     .o = {.name = "auth_attempts",
           .type = PB_OPT_INT,
           .offset = OF(server, s.auth_attempts),
           .min = 1,
           .max = 1000000,
           .def = "10",
           .help = "From so many wrong passwords a minute on, from one address for one queue, the "
                   "answer to each of them waits for 2 s. Earlier ones wait for less. A right "
                   "password is always answered at once."},
     .help_zh = "同一地址对同一队列每分钟输错密码达到此次数后，每次错误的回复都会延迟 2 "
                "秒，在此之前延迟较短。密码正确时始终立即响应。"},
    {.title = "Time to stop",
     .o = {.name = "drain_timeout",
           .type = PB_OPT_DURATION,
           .offset = OF(server, s.drain_timeout_ms),
           .max = DAY_MS,
           .def = "30s",
           .help = "How long a stop waits for running jobs. Jobs that run longer are delivered "
                   "again later."},
     .help_zh = "停止时等待正在运行的任务的时间。超过该时间仍未结束的任务稍后会重新投递。"},
    {.title = "Log level",
     .o = {.name = "log_level",
           .type = PB_OPT_CHOICE,
           .offset = OF(server, s.log_level),
           .choices = "error,warning,info,debug",
           .def = "info",
           .help = "Lines of this level and of graver levels are logged."},
     .help_zh = "记录该级别以及更严重级别的日志。"},
    {.title = "Log format",
     .o = {.name = "log_format",
           .type = PB_OPT_CHOICE,
           .offset = OF(server, s.log_format),
           .choices = "text,json",
           .def = "text",
           .help = "Form of the log lines on standard error."},
     .help_zh = "标准错误输出上日志行的格式。"},
    {.title = "Reverse proxies",
     .o = {.name = "trusted_proxies",
           .type = PB_OPT_LIST,
           .offset = OF(server, s.trusted_proxies),
           .help = "Addresses or networks of reverse proxies before the admin port, for example "
                   "127.0.0.1 or 10.0.0.0/8. Only from them the broker believes X-Forwarded-For, "
                   "X-Forwarded-Proto and auth_header. Empty: from nobody."},
     .help_zh = "管理端口前的反向代理的地址或网段，例如 127.0.0.1 或 10.0.0.0/8。只有来自它们的 "
                "X-Forwarded-For、X-Forwarded-Proto 和 auth_header 才被采信。为空：都不采信。"},
    {.title = "Header with the user",
     .o = {.name = "auth_header",
           .type = PB_OPT_STRING,
           .offset = OF(server, s.auth_header),
           .help = "Request header in which a reverse proxy of trusted_proxies says who is logged "
                   "in, for example X-Remote-User. Empty: none."},
     .help_zh = "由 trusted_proxies 中的反向代理设置、说明当前登录用户的请求头，例如 "
                "X-Remote-User。为空：不使用。"},
    {.title = "Role of other users",
     .o = {.name = "auth_default_role",
           .type = PB_OPT_CHOICE,
           .offset = OF(server, s.auth_default_role),
           .choices = "admin,operator,viewer,none",
           .def = "none",
           .help = "Role of a user whom auth_header or [ldap] names and who has no [user] section "
                   "and is in no group of [ldap]. none: the user is refused."},
     .help_zh = "由 auth_header 或 [ldap] 认证、但没有 [user] 配置也不属于 [ldap] "
                "中任何组的用户的角色。none：拒绝该用户。"},
    {.title = "Path behind a proxy",
     .o = {.name = "base_path",
           .type = PB_OPT_STRING,
           .offset = OF(server, s.base_path),
           .help = "Path under which a reverse proxy shows the console, for example "
                   "/tools/pepperbus. Empty: /."},
     .help_zh = "反向代理展示控制台的路径，例如 /tools/pepperbus。为空：/。"},
    {.title = "Admin port without encryption",
     .o = {.name = "allow_plain_admin",
           .type = PB_OPT_BOOL,
           .offset = OF(server, s.allow_plain_admin),
           .def = "no",
           .help =
               "yes: no warning when other machines can reach the admin port without encryption."},
     .help_zh = "yes：当其他机器可以不加密地访问管理端口时不再警告。"},
    {.title = "Folders of shared workers",
     .o = {.name = "entry_roots",
           .type = PB_OPT_LIST,
           .offset = OF(server, s.entry_roots),
           .help = "Folders for the workers (`entry`) of cgi topics in the shared configuration. "
                   "Links are resolved before the comparison. Empty: any folder, and only admins "
                   "may set `entry`."},
     .help_zh = "共享配置中 cgi topic 的 "
                "worker（`entry`"
                "）必须位于这些目录下，比较前会解析符号链接。为空：任意目录，但只有管理员可以设置 "
                "`entry`。"},
    {.title = "Hosts of shared workers",
     .o = {.name = "http_hosts",
           .type = PB_OPT_LIST,
           .offset = OF(server, s.http_hosts),
           .help = "Hosts to which http topics and pools of the shared configuration may connect: "
                   "names, *.example.com for all names below, IP addresses, networks such as "
                   "10.0.0.0/8, or unix:/PATH. Empty: all but link-local addresses."},
     .help_zh = "共享配置中的 http topic 和 Worker "
                "池可以连接的主机：主机名、*.example.com（其下所有名字）、IP "
                "地址、网段（如 10.0.0.0/8）或 unix:/PATH。为空：除链路本地地址外都可以。"},
    {.title = "Run types of shared workers",
     .o =
         {.name = "shared_run_types",
          .type = PB_OPT_LIST,
          .offset = OF(server, s.shared_run_types),
          .def = "cgi, http, pull",
          .help =
              "Run types that topics and pools of the shared configuration may have on this node."},
     .help_zh = "共享配置中的 topic 和 worker 池在本节点上可以使用的运行方式。"},
    {.title = NULL}};

static const struct core_option cluster_options[] = {
    {.title = "Name",
     .o = {.name = "name",
           .type = PB_OPT_STRING,
           .offset = OF(cluster, s.name),
           .def = "pepperbus",
           .help = "Name of the cluster. All its nodes have the same one. The names of cookies and "
                   "the encryption of secrets depend on it."},
     .help_zh = "集群名称，所有节点必须相同。Cookie 名称和密文都与它有关。"},
    {.title = "Storage",
     .o = {.name = "storage",
           .type = PB_OPT_STRING,
           .offset = OF(cluster, storage),
           .help = "Storage of the shared configuration, of sessions and of the audit log. It is a "
                   "[storage] of a file of this node. Empty: the only one, if there is only one."},
     .help_zh = "保存共享配置、会话和审计日志的存储，必须是本节点文件中的 "
                "[storage]。为空：只有一个存储时就用它。"},
    {.title = "Key file",
     .o = {.name = "key_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(cluster, s.key_file),
           .def = "cluster.key",
           .help =
               "File with the key that encrypts secrets of the shared configuration, relative to "
               "state_dir. The first node makes the file. The other nodes need a copy of it."},
     .help_zh = "用于加密共享配置中密码的密钥文件，路径相对于 "
                "state_dir。由第一个节点生成，其他节点需要它的副本。"},
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(cluster, s.title),
           .help = "Name of the cluster for people. The console shows it on every page."},
     .help_zh = "集群的显示名称，控制台每一页都会显示。",
     .people_only = true},
    {.title = "Colour",
     .o = {.name = "colour",
           .type = PB_OPT_STRING,
           .offset = OF(cluster, s.colour),
           .help = "Colour of the title in the console: red, orange, yellow, green, blue, purple "
                   "or grey. Empty: none."},
     .help_zh = "控制台中标题的颜色：red、orange、yellow、green、blue、purple 或 grey。为空：无。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option ldap_options[] = {
    {.title = "Address",
     .o = {.name = "url",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_REQUIRED,
           .offset = OF(ldap, s.url),
           .help =
               "Address of the LDAP server: ldaps://HOST, or ldap://HOST with start_tls = yes."},
     .help_zh = "LDAP 服务器地址：ldaps://HOST，或 ldap://HOST 并设置 start_tls = yes。"},
    {.title = "Name of a user",
     .o = {.name = "bind",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_REQUIRED,
           .offset = OF(ldap, s.bind),
           .help = "Distinguished name with which a user logs in, %u for the user name: "
                   "uid=%u,ou=people,dc=example,dc=com."},
     .help_zh = "用户登录时使用的 DN，%u 代表用户名：uid=%u,ou=people,dc=example,dc=com。"},
    {.title = "Groups",
     .o = {.name = "groups",
           .type = PB_OPT_STRING,
           .offset = OF(ldap, s.groups),
           .help = "Distinguished name under which the groups are. Empty: the attribute memberOf "
                   "of the user names them."},
     .help_zh = "组所在的 DN。为空：由用户的 memberOf 属性给出。"},
    {.title = "Group of admins",
     .o = {.name = "admin_group",
           .type = PB_OPT_STRING,
           .offset = OF(ldap, s.admin_group),
           .help =
               "Name (cn) or distinguished name of the group whose members have the role admin."},
     .help_zh = "其成员角色为 admin 的组的名称（cn）或 DN。"},
    {.title = "Group of operators",
     .o =
         {.name = "operator_group",
          .type = PB_OPT_STRING,
          .offset = OF(ldap, s.operator_group),
          .help =
              "Name (cn) or distinguished name of the group whose members have the role operator."},
     .help_zh = "其成员角色为 operator 的组的名称（cn）或 DN。"},
    {.title = "StartTLS",
     .o = {.name = "start_tls",
           .type = PB_OPT_BOOL,
           .offset = OF(ldap, s.start_tls),
           .def = "no",
           .help = "yes: the connection to an ldap:// address is encrypted before the password is "
                   "sent."},
     .help_zh = "yes：发送密码前先加密到 ldap:// 地址的连接。"},
    {.title = "Certificates",
     .o = {.name = "ca_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(ldap, s.ca_file),
           .help = "File with the authorities' certificates (PEM) that are trusted, relative to "
                   "this file. Empty: those of the system."},
     .help_zh = "受信任的 CA 证书文件（PEM），路径相对于本文件。为空：使用系统的证书。"},
    {.title = "Timeout",
     .o = {.name = "timeout",
           .type = PB_OPT_DURATION,
           .offset = OF(ldap, s.timeout_ms),
           .min = 100,
           .max = 60000,
           .def = "5s",
           .help = "Time for one login."},
     .help_zh = "一次登录的时限。"},
    {.title = NULL}};

static const struct core_option system_options[] = {
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(system, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "系统的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(system, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option node_options[] = {
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(node, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "节点的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(node, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = "Systems",
     .o = {.name = "systems",
           .type = PB_OPT_LIST,
           .offset = OF(node, systems),
           .help = "Systems whose topics the node runs. Empty: what systems in [server] of the "
                   "node says."},
     .help_zh = "节点运行哪些系统的 topic。为空：按该节点 [server] 中的 systems。"},
    {.title = "Drain",
     .o = {.name = "drain",
           .type = PB_OPT_BOOL,
           .offset = OF(node, s.drain),
           .def = "no",
           .help = "yes: the node ends its running jobs and runs no topic. It still accepts jobs."},
     .help_zh = "yes：节点处理完正在运行的任务后不再运行任何 topic，但仍接收任务。"},
    {.title = NULL}};

static const struct core_option storage_options[] = {
    {.title = "System",
     .help_zh = "只有该系统的 topic 可以使用此存储。留空：所有 topic"
                "。",
     .o = {.name = "system",
           .type = PB_OPT_STRING,
           .offset = OF(storage, system),
           .help = "Only topics of this system may use the storage. Empty: all topics."}},
    {.title = "Address",
     .help_zh = "Redis 的地址：HOST:PORT 或 unix:/PATH"
                "。不能与 managed = yes 同时使用。",
     .o = {.name = "address",
           .type = PB_OPT_STRING,
           .offset = OF(storage, s.address),
           .help = "Address of Redis: HOST:PORT or unix:/PATH. Not together with managed = yes."}},
    {.title = "User name",
     .help_zh = "Redis ACL 的用户名。留空：默认用户。",
     .o = {.name = "username",
           .type = PB_OPT_STRING,
           .offset = OF(storage, s.username),
           .help = "User of the ACL of Redis. Empty: the default user."}},
    {.title = "Password",
     .help_zh = "Redis 的密码（明文）。",
     .o = {.name = "password",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_SECRET,
           .offset = OF(storage, s.password),
           .help = "Password of Redis, in clear."}},
    {.title = "Password file",
     .o = {.name = "password_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(storage, password_file),
           .help = "File whose first line is the password. It is relative to this file."},
     .help_zh = "密码文件，第一行为密码，路径相对于本文件。"},
    {.title = "Database",
     .help_zh = "Redis 数据库编号。",
     .o = {.name = "db",
           .type = PB_OPT_INT,
           .offset = OF(storage, s.db),
           .max = 65535,
           .def = "0",
           .help = "Number of the Redis database."}},
    {.title = "Managed by the broker",
     .o = {.name = "managed",
           .type = PB_OPT_BOOL,
           .flags = PB_OPT_LOCAL,
           .offset = OF(storage, s.managed),
           .def = "no",
           .help = "yes: the broker starts a private redis-server under state_dir, with an "
                   "append-only file."},
     .help_zh = "yes：由 broker 在 state_dir 下启动一个私有的 redis-server，并启用 AOF 持久化。"},
    {.title = "Server program",
     .o = {.name = "server_binary",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(storage, s.server_binary),
           .def = "redis-server",
           .help = "Program of a managed storage, with or without its path. If there is no "
                   "redis-server, the broker takes valkey-server."},
     .help_zh = "托管存储使用的服务器程序，可以带路径。没有 redis-server 时使用 valkey-server。"},
    {.title = "Connections",
     .help_zh = "该节点的最大连接数。一个用于命令，一个用于其他节点的唤醒通知。第"
                "一个需要等待副本确认的任务会再打开一个；max_connecti"
                "ons = 2 时此类任务会被拒绝。",
     .o = {.name = "max_connections",
           .type = PB_OPT_INT,
           .offset = OF(storage, s.max_connections),
           .min = 2,
           .max = 1000,
           .def = "4",
           .help = "Connections from this node at most. One is for commands and one for wake-ups "
                   "of other nodes. The first job that waits for replicas opens a third; with "
                   "max_connections = 2 such jobs are refused."}},
    {.title = "Time to connect",
     .help_zh = "超过该时间仍未建立的连接会被放弃，broker 会重试。",
     .o = {.name = "connect_timeout",
           .type = PB_OPT_DURATION,
           .offset = OF(storage, s.connect_timeout_ms),
           .min = 10,
           .max = 600000,
           .def = "2s",
           .help =
               "A connection that is not there by then is given up, and the broker tries again."}},
    {.title = "Time for a command",
     .help_zh = "有命令未完成而 Redis 在该时间内没有任何响应时，broke"
                "r 放弃该连接。",
     .o = {.name = "command_timeout",
           .type = PB_OPT_DURATION,
           .offset = OF(storage, s.command_timeout_ms),
           .min = 100,
           .max = 3600000,
           .def = "10s",
           .help = "When Redis is silent for this long while a command is open, the broker gives "
                   "up the connection."}},
    {.title = "Lease",
     .help_zh = "其他节点都在续约，而某个节点超过该时间的一倍半仍未续约，则视为已"
                "死亡，其正在运行的任务由其他节点接管。",
     .o = {.name = "lease",
           .type = PB_OPT_DURATION,
           .offset = OF(storage, s.lease_ms),
           .min = 1000,
           .max = 3600000,
           .def = "10s",
           .help = "A node that does not renew its lease for one and a half times this long, while "
                   "other nodes do, is dead. The other nodes take over its running jobs."}},
    {.title = "Jobs on their way",
     .help_zh = "正在写入存储的任务数上限。超过后新任务会被拒绝并返回错误，直到存"
                "储跟上。",
     .o = {.name = "max_inflight",
           .type = PB_OPT_INT,
           .offset = OF(storage, s.max_inflight),
           .min = 16,
           .max = 10000000,
           .def = "100000",
           .help = "Jobs on their way to the storage. More are refused with an error until the "
                   "storage has caught up."}},
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(storage, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "存储的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(storage, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option pool_options[] = {
    {.title = "Run type",
     .help_zh = "如何调用 worker：cgi、http、exec 或其他插件提"
                "供的方式。",
     .o = {.name = "run_type",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_REQUIRED,
           .offset = OF(pool, s.run_type),
           .help = "How the workers of the pool are called: cgi, http, exec or another one that a "
                   "plugin provides."}},
    {.title = "Connections",
     .help_zh = "该节点上此池所有 topic 的并发请求数。请设为供任务使用的 "
                "worker 数（php-fpm 的子进程数）或更小。concu"
                "rrency = auto 时为上限，未设置时为 128。",
     .o = {.name = "max_connections",
           .type = PB_OPT_INT,
           .offset = OF(pool, s.max_connections),
           .min = 1,
           .max = 100000,
           .def = "16",
           .help = "Requests at a time on this node, over all topics of the pool. Set it to the "
                   "number of workers (php-fpm: children) that are meant for jobs, or lower. With "
                   "concurrency = auto it is the upper bound, 128 if it is not given."}},
    {.title = "Concurrency",
     .help_zh = "fixed：固定 max_connections 个并发请求。a"
                "uto：由 broker 根据空闲 worker、排队请求或延迟"
                "自动决定。",
     .o = {.name = "concurrency",
           .type = PB_OPT_CHOICE,
           .offset = OF(pool, s.concurrency),
           .choices = "fixed,auto",
           .def = "fixed",
           .help = "fixed: max_connections requests at a time. auto: as many as the workers bear. "
                   "The broker finds that out from idle workers, from requests that wait, or from "
                   "latency."}},
    {.title = "Reserve",
     .help_zh = "concurrency = auto 时为其他用途（例如网页请求"
                "）保留的 worker 数。",
     .o = {.name = "reserve",
           .type = PB_OPT_INT,
           .offset = OF(pool, s.reserve),
           .max = 100000,
           .def = "1",
           .help = "With concurrency = auto: workers that stay free for others, for example for "
                   "web requests."}},
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(pool, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "Worker 池的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(pool, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option queue_options[] = {
    {.title = "System",
     .help_zh = "队列所属的系统。只有一个系统或没有系统时可以省略。",
     .o = {.name = "system",
           .type = PB_OPT_STRING,
           .offset = OF(queue, system),
           .help =
               "System of the queue. It may be left out if there is only one system, or none."}},
    {.title = "Password",
     .help_zh = "生产者的密码：明文，或由 `pepperbusctl passw"
                "d` 生成的哈希（sha256:SALT:HEX）。必须在此处或"
                "通过 password_file 设置。",
     .o = {.name = "password",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_SECRET,
           .offset = OF(queue, s.password),
           .help = "Password of producers: plain, or a hash made by `pepperbusctl passwd` "
                   "(sha256:SALT:HEX). Required, here or by password_file."}},
    {.title = "Password file",
     .o = {.name = "password_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(queue, password_file),
           .help = "File whose first line is the password. It is relative to this file."},
     .help_zh = "密码文件，第一行为密码，路径相对于本文件。"},
    {.title = "Length",
     .help_zh = "队列中可等待的任务数，超过后生产者会收到错误。0：不限。",
     .o = {.name = "max_length",
           .type = PB_OPT_INT,
           .offset = OF(queue, s.max_length),
           .def = "0",
           .help =
               "Jobs that may wait in the queue. Over it producers get an error. 0: no limit."}},
    {.title = "Size",
     .help_zh = "队列中可等待的字节数，超过后生产者会收到错误。0：不限。",
     .o = {.name = "max_bytes",
           .type = PB_OPT_SIZE,
           .offset = OF(queue, s.max_bytes),
           .def = "0",
           .help =
               "Bytes that may wait in the queue. Over it producers get an error. 0: no limit."}},
    {.title = "Keep settled jobs",
     .help_zh = "所有 topic 处理完后任务继续保留的时间，便于 topic "
                "回溯。",
     .o = {.name = "retain",
           .type = PB_OPT_DURATION,
           .offset = OF(queue, s.retain_ms),
           .max = 3650 * DAY_MS,
           .def = "0",
           .help = "Keep jobs for this long after all topics have settled them, so that a topic "
                   "can be rewound."}},
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(queue, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "队列的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(queue, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option topic_options[] = {
    {.title = "Storage",
     .help_zh = "任务所在的存储，必须属于队列的系统或不属于任何系统。只有一个可用"
                "存储时可以省略。",
     .o = {.name = "storage",
           .type = PB_OPT_STRING,
           .offset = OF(topic, storage),
           .help = "Storage of the jobs. It must belong to the system of the queue, or to none. It "
                   "may be left out if only one storage does."}},
    {.title = "Run type",
     .help_zh = "如何调用 worker：cgi、http、exec 或其他插件提"
                "供的方式。pull：worker 自行取任务（RPOP）；设置 "
                "entry 时由 broker 启动。默认使用池的方式。",
     .o = {.name = "run_type",
           .type = PB_OPT_STRING,
           .offset = OF(topic, s.run_type),
           .help = "How the worker is called: cgi, http, exec or another one that a plugin "
                   "provides. pull: the worker takes jobs itself (RPOP); with `entry` the broker "
                   "starts the worker. Default: the run type of the pool."}},
    {.title = "Pool",
     .help_zh = "topic 使用的 worker 池。运行方式不需要池时可以留空"
                "。",
     .o = {.name = "pool",
           .type = PB_OPT_STRING,
           .offset = OF(topic, pool),
           .help = "Pool whose workers the topic uses. Empty: none, if the run type needs none."}},
    {.title = "Password",
     .help_zh = "拉取型 worker 的密码：明文或哈希。默认使用队列的密码。",
     .o = {.name = "password",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_SECRET,
           .offset = OF(topic, s.password),
           .help =
               "Password of pull workers: plain or a hash. Default: the password of the queue."}},
    {.title = "Password file",
     .o = {.name = "password_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(topic, password_file),
           .help = "File whose first line is the password. It is relative to this file."},
     .help_zh = "密码文件，第一行为密码，路径相对于本文件。"},
    {.title = "Signing key",
     .help_zh = "发给 worker 的请求会带上用该密钥生成的签名，worker"
                " 可据此拒绝陌生人。留空：不签名。",
     .o = {.name = "signing_key",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_SECRET,
           .offset = OF(topic, s.signing_key),
           .help = "Requests to the worker carry a signature made with this key, so that the "
                   "worker can refuse strangers. Empty: no signature."}},
    {.title = "Signing key file",
     .o = {.name = "signing_key_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(topic, signing_key_file),
           .help = "File whose first line is the signing key. It is relative to this file."},
     .help_zh = "签名密钥文件，第一行为签名密钥，路径相对于本文件。"},
    {.title = "Signature version",
     .help_zh = "签名格式。v1 是 0.1 版的格式，供尚不支持 v2 的 wo"
                "rker 使用；下一版将移除 v1。",
     .o = {.name = "signing_version",
           .type = PB_OPT_CHOICE,
           .offset = OF(topic, s.signing_version),
           .choices = "v2,v1",
           .def = "v2",
           .help = "Form of the signature. v1 is the form of the release 0.1, for workers that do "
                   "not know v2 yet. The next release will not have v1."}},
    {.title = "Workers",
     .help_zh = "单个节点上的并发执行数。",
     .o = {.name = "workers",
           .type = PB_OPT_INT,
           .offset = OF(topic, s.workers),
           .min = 1,
           .max = 100000,
           .def = "10",
           .help = "Attempts at a time on one node."}},
    {.title = "Chunk",
     .help_zh = "一次请求最多携带的任务数。任务合计达到 8 MB 后不再追加。任"
                "务的最后一次尝试单独请求。",
     .o = {.name = "chunk",
           .type = PB_OPT_INT,
           .offset = OF(topic, s.chunk),
           .min = 1,
           .max = 10000,
           .def = "1",
           .help = "Jobs in one request at most. A request with 8 MB of jobs takes no further job. "
                   "The last attempt of a job has a request of its own."}},
    {.title = "Wait for a full request",
     .help_zh = "为凑满一次请求，任务最多等待的时间。凑满后立即发送。0：不等待。",
     .o = {.name = "chunk_wait",
           .type = PB_OPT_DURATION,
           .offset = OF(topic, s.chunk_wait_ms),
           .max = 600000,
           .def = "0",
           .help = "How long a job waits for other jobs, so that its request is full. A full "
                   "request leaves at once. 0: no job waits."}},
    {.title = "Timeout",
     .help_zh = "单次执行的超时时间。",
     .o = {.name = "timeout",
           .type = PB_OPT_DURATION,
           .offset = OF(topic, s.timeout_ms),
           .min = 10,
           .max = 30 * DAY_MS,
           .def = "60s",
           .help = "Time for one attempt."}},
    {.title = "Attempts",
     .help_zh = "失败这么多次后任务成为死信。1：不自动重试。",
     .o = {.name = "attempts",
           .type = PB_OPT_INT,
           .offset = OF(topic, s.attempts),
           .min = 1,
           .max = 1000000,
           .def = "5",
           .help = "After so many failed attempts a job is dead. 1: no automatic retry."}},
    {.title = "Crashes",
     .help_zh = "节点退出时仍在运行达到该次数的任务成为死信。没有等待任务完成的停"
                "止也计算在内。",
     .o = {.name = "crashes",
           .type = PB_OPT_INT,
           .offset = OF(topic, s.crashes),
           .min = 1,
           .max = 1000000,
           .def = "10",
           .help = "A job that was running at the end of a node this often is dead. A stop that "
                   "did not wait for the job counts, too."}},
    {.title = "Backoff",
     .help_zh = "下一次尝试前的等待时间，从..到：每次翻倍并带随机抖动。",
     .o = {.name = "backoff",
           .type = PB_OPT_RANGE,
           .offset = OF(topic, s.backoff),
           .max = 365 * DAY_MS,
           .def = "1s..10m",
           .help = "Pause before the next attempt, from..to: doubled each time, with jitter."}},
    {.title = "Start from",
     .help_zh = "为已有队列新增 topic 时，从现在开始，还是从队列保留的最早"
                "任务开始。",
     .o = {.name = "start_from",
           .type = PB_OPT_CHOICE,
           .offset = OF(topic, s.start_from),
           .choices = "now,beginning",
           .def = "now",
           .help = "For a topic that is added to an existing queue: begin now, or at the beginning "
                   "of what the queue retains."}},
    {.title = "Enabled",
     .help_zh = "no：broker 接收并保留该 topic 的任务，但不调用 "
                "worker。",
     .o = {.name = "enabled",
           .type = PB_OPT_BOOL,
           .offset = OF(topic, s.enabled),
           .def = "yes",
           .help = "no: the broker accepts and keeps jobs for the topic, and does not call its "
                   "worker."}},
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(topic, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "topic 的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(topic, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option alert_options[] = {
    {.title = "Condition",
     .o = {.name = "when",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_REQUIRED,
           .offset = OF(alert, s.when_text),
           .help = "METRIC > NUMBER for DURATION, for example ready > 10000 for 2m. METRIC is "
                   "ready, running, oldest (> DURATION), failed/min, dead, unreachable, node_away, "
                   "storage_down or revision_behind. Without > NUMBER: more than 0."},
     .help_zh = "指标 > 数值 for 时长，例如 ready > 10000 for 2m。指标可以是 "
                "ready、running、oldest（> 时长）、failed/min、dead、unreachable、node_away、"
                "storage_down 或 revision_behind。不写 > 数值：大于 0。"},
    {.title = "Topic",
     .o = {.name = "topic",
           .type = PB_OPT_STRING,
           .offset = OF(alert, s.topic),
           .help = "Topic that is watched: QUEUE/TOPIC. An alert has exactly one of topic, queue, "
                   "system and all."},
     .help_zh =
         "要监视的 topic：QUEUE/TOPIC。每条告警必须且只能写 topic、queue、system、all 之一。"},
    {.title = "Queue",
     .o = {.name = "queue",
           .type = PB_OPT_STRING,
           .offset = OF(alert, s.queue),
           .help = "Queue whose topics are watched together."},
     .help_zh = "要监视的队列，其所有 topic 合在一起计算。"},
    {.title = "System",
     .o = {.name = "system",
           .type = PB_OPT_STRING,
           .offset = OF(alert, s.system),
           .help = "System whose topics and storages are watched together."},
     .help_zh = "要监视的系统，其所有 topic 和存储合在一起计算。"},
    {.title = "Everything",
     .o = {.name = "all",
           .type = PB_OPT_BOOL,
           .offset = OF(alert, s.all),
           .def = "no",
           .help = "yes: everything is watched together. node_away and revision_behind need it."},
     .help_zh = "yes：监视全部。node_away 和 revision_behind 必须这样写。"},
    {.title = "Webhook",
     .o = {.name = "webhook",
           .type = PB_OPT_STRING,
           .offset = OF(alert, s.webhook),
           .help = "URL that gets a POST with JSON when the alert begins and when it ends. The "
                   "console shows it. Empty: none."},
     .help_zh = "告警开始和结束时以 POST 方式接收 JSON 的 URL，控制台会显示它。为空：不发送。"},
    {.title = "Webhook key",
     .o = {.name = "webhook_secret",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_SECRET,
           .offset = OF(alert, s.webhook_secret),
           .help = "Key with which requests to the webhook are signed (doc/signature.md), so that "
                   "the receiver can refuse strangers. Empty: no signature."},
     .help_zh = "对 webhook 请求签名的密钥（见 "
                "doc/signature.md），接收方据此拒绝伪造的请求。为空：不签名。"},
    {.title = "Webhook key file",
     .o = {.name = "webhook_secret_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(alert, webhook_secret_file),
           .help = "File whose first line is the webhook key. It is relative to this file."},
     .help_zh = "首行为 webhook 密钥的文件，路径相对于本文件。"},
    {.title = "Command",
     .o = {.name = "exec",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(alert, s.exec),
           .help = "Command line for /bin/sh that runs on this node when the alert begins and when "
                   "it ends, with the JSON on standard input. Only a file of the node can have it. "
                   "Empty: none."},
     .help_zh = "告警开始和结束时在本节点上由 /bin/sh 执行的命令，JSON "
                "从标准输入传入。只能写在节点自己的文件里。为空：不执行。"},
    {.title = "Tell again",
     .o = {.name = "repeat",
           .type = PB_OPT_DURATION,
           .offset = OF(alert, s.repeat_ms),
           .max = 365 * DAY_MS,
           .def = "4h",
           .help = "While the alert lasts it is told again after so long. 0: never."},
     .help_zh = "告警持续期间每隔这么久再次通知。0：不再通知。"},
    {.title = "Enabled",
     .o = {.name = "enabled",
           .type = PB_OPT_BOOL,
           .offset = OF(alert, s.enabled),
           .def = "yes",
           .help = "no: nothing is watched and nobody is told."},
     .help_zh = "no：不监视，也不通知。"},
    {.title = "Title",
     .o = {.name = "title",
           .type = PB_OPT_STRING,
           .offset = OF(alert, s.title),
           .help = "Name for people. The console shows it."},
     .help_zh = "告警的显示名称，控制台会显示它。",
     .people_only = true},
    {.title = "Comment",
     .o = {.name = "comment",
           .type = PB_OPT_STRING,
           .offset = OF(alert, s.comment),
           .help = "Text for people. Nothing depends on it."},
     .help_zh = "给人看的说明，不影响运行。",
     .people_only = true},
    {.title = NULL}};

static const struct core_option user_options[] = {
    {.title = "Role",
     .o = {.name = "role",
           .type = PB_OPT_CHOICE,
           .flags = PB_OPT_REQUIRED,
           .offset = OF(user, s.role),
           .choices = "admin,operator,viewer",
           .help = "What the user may do."},
     .help_zh = "该用户的权限。"},
    {.title = "Systems",
     .o = {.name = "systems",
           .type = PB_OPT_LIST,
           .offset = OF(user, systems),
           .help = "Systems that the user may see. Empty: all."},
     .help_zh = "该用户可以看到的系统。留空：所有系统。"},
    {.title = "Password",
     .o = {.name = "password",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_SECRET,
           .offset = OF(user, s.password),
           .help = "Hash made by `pepperbusctl passwd`. Required, here or by password_file."},
     .help_zh = "由 `pepperbusctl passwd` 生成的哈希。password 与 password_file 必须设置其一。"},
    {.title = "Password file",
     .o = {.name = "password_file",
           .type = PB_OPT_STRING,
           .flags = PB_OPT_LOCAL,
           .offset = OF(user, password_file),
           .help = "File whose first line is the password. It is relative to this file."},
     .help_zh = "密码文件，第一行为密码，路径相对于本文件。"},
    {.title = "May change workers",
     .o = {.name = "entries",
           .type = PB_OPT_BOOL,
           .offset = OF(user, s.entries),
           .help = "yes: the user may change entry and run_type of topics. Default: yes for "
                   "admins, else no."},
     .help_zh = "yes：该用户可以修改 topic 的 entry 和 run_type。默认：管理员为 yes，其他为 no。"},
    {.title = "May see jobs",
     .o = {.name = "contents",
           .type = PB_OPT_BOOL,
           .offset = OF(user, s.contents),
           .help = "yes: the user may see what is in jobs. Default: no for viewers, else yes."},
     .help_zh = "yes：该用户可以查看任务内容。默认：viewer 为 no，其他为 yes。"},
    {.title = NULL}};

#define TABLE(id)                                                                                  \
  { &id##_options[0].o, sizeof(struct core_option) }
#define SIZES(id) sizeof(struct id##_raw), sizeof(struct id##_settings)

static const struct kind kinds[KINDS] = {
    [SERVER] = {"server", TABLE(server), SIZES(server), "This node of the broker.",
                "本节点的设置。", NULL},
    [CLUSTER] = {"cluster", TABLE(cluster), SIZES(cluster),
                 "The nodes that share a configuration. Each of them has this section in a file of "
                 "its own.",
                 "共享同一份配置的节点。每个节点在自己的文件里写这一节。", NULL},
    [LDAP] = {"ldap", TABLE(ldap), SIZES(ldap),
              "A directory with which people log in to console and API. It stands in a file of the "
              "node.",
              "用于登录控制台和 API 的目录服务，写在节点自己的文件里。", NULL},
    [SYSTEM] = {"system", TABLE(system), SIZES(system),
                "A group of storages, nodes and queues that are kept apart from other systems.",
                "一组与其他系统隔离的存储、节点和队列。", "live"},
    [NODE] = {"node", TABLE(node), SIZES(node), "What one node of the cluster runs.",
              "集群中某个节点运行什么。", "web1"},
    [STORAGE] = {"storage", TABLE(storage), SIZES(storage), "A Redis deployment that keeps jobs.",
                 "保存任务的 Redis。", "main"},
    [POOL] = {"pool", TABLE(pool), SIZES(pool), "Workers that several topics share.",
              "多个 topic 共用的一组 worker。", "local"},
    [QUEUE] = {"queue", TABLE(queue), SIZES(queue), "What producers add jobs to.",
               "生产者添加任务的地方。", "msg"},
    [TOPIC] =
        {"topic", TABLE(topic), SIZES(topic),
         "One subscriber of a queue: which worker handles the jobs, and how. Each topic gets "
         "every job of its queue once.",
         "队列的一个订阅者：由哪个 worker、如何处理任务。队列的每个任务，每个 topic 各得到一次。",
         "msg/reply"},
    [ALERT] = {"alert", TABLE(alert), SIZES(alert),
               "What is watched, and who is told when it goes wrong and when it is well again.",
               "监视什么，以及出问题和恢复时通知谁。", "backlog"},
    [USER] = {"user", TABLE(user), SIZES(user), "Somebody who may use console and API.",
              "可以使用控制台和 API 的人。", "admin"},
};

const struct kind *kind_get(enum kind_id id) {
  return &kinds[id];
}

const struct kind *kind_named(const char *name) {
  for (int id = 0; id < KINDS; id++)
    if (strcmp(kinds[id].name, name) == 0) return &kinds[id];
  return NULL;
}

enum kind_id kind_id_of(const struct kind *k) {
  return (enum kind_id)(k - kinds);
}

const char *option_title(const struct kind *k, const struct pb_option *o) {
  for (const struct pb_option *own = NULL; (own = option_next(k->options, own));)
    if (own == o) return ((const struct core_option *)(const void *)o)->title;
  return NULL;
}

struct options transport_options(const struct pb_transport *t, enum kind_id id) {
  struct options none = {NULL, sizeof(struct pb_option)};
  if (!t || (id != POOL && id != TOPIC)) return none;
  return (struct options){id == POOL ? t->pool_options : t->topic_options, t->option_size};
}

static void kind_keys(const struct settings_types *types, enum kind_id id, settings_key_fn fn,
                      void *arg) {
  struct settings_key key = {.kind = kinds[id].name};
  for (const struct pb_option *o = NULL; (o = option_next(kinds[id].options, o));) {
    const struct core_option *core = (const struct core_option *)(const void *)o;
    key.option = o;
    key.title = core->title;
    key.help_zh = core->help_zh;
    fn(arg, &key);
  }
  key.title = NULL;
  for (size_t i = 0; types && i < types->n; i++) {
    struct options own = transport_options(types->transports[i], id);
    key.run_type = types->transports[i]->run_type;
    for (const struct pb_option *o = NULL; (o = option_next(own, o));) {
      key.option = o;
      key.help_zh = transport_help_zh(key.run_type, o->name);
      if (!option_find(kinds[id].options, o->name)) fn(arg, &key);
    }
  }
}

void settings_each_key(const struct settings_types *types, settings_key_fn fn, void *arg) {
  for (int id = 0; id < KINDS; id++) kind_keys(types, (enum kind_id)id, fn, arg);
}
