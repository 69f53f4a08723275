/* Owns the Chinese texts of the keys of the transports that come with the broker. The interface of
 * plugins has no place for a second language, so they stand here.
 *
 * Must never happen: a key of one of these transports without a text
 * (tests/e2e/test_sections_api.py).
 */
#include "config/private.h"

#include <string.h>

struct text {
  const char *key, *help;
};

/* What exec and pull have in common. */
static const struct text process_texts[] = {
    {"directory", "worker 的工作目录，绝对路径。默认：broker 的工作目录。"},
    {"env",
     "环境变量，写作 NAME=value。除 PATH、HOME、LANG 和 broker 设置的变量外，不继承其他变量。"},
    {"env_file", "环境变量文件，绝对路径，每行一个 NAME=value，适合存放密码等敏感信息。"},
    {"user", "运行 worker 的用户，同时使用该用户的附加组。仅当 broker 以 root 运行时可用。"},
    {"group", "运行 worker 的用户组。默认：该用户的主组。"},
    {"umask", "八进制的 umask，例如 027。默认：与 broker 相同。"},
    {"nice", "进程的 nice 值。设为 10 时，本机的其他进程优先运行。"},
    {"limit_cpu", "单个进程可用的 CPU 时间，以整秒计，超过则被终止。0：不限制。"},
    {"limit_memory", "单个进程的地址空间上限。0：不限制。"},
    {"limit_file_size", "worker 写入的单个文件的大小上限。0：不限制。"},
    {"limit_open_files", "单个进程可打开的文件描述符数。0：与 broker 的限制相同。"},
    {"limit_processes", "运行 worker 的用户的进程和线程总数上限，该用户的所有进程都计算在内，对 "
                        "root 无效。0：与 broker 的限制相同。"},
    {"kill_after", "从发送 SIGTERM 到发送 SIGKILL 的间隔。两个信号都发给整个进程组。"},
    {0}};

static const struct text exec_texts[] = {
    {"entry", "worker 的命令行，按引号和反斜杠拆分成参数，不经过 shell。程序写绝对路径，"
              "或写名称并在 PATH 中查找。"},
    {"resident",
     "yes：保持 `workers` 个常驻进程，每次请求向其中一个写入一行 JSON。no：每次请求启动一个进程。"},
    {"ping", "非常驻时，yes：以 PEPPERBUS_TYPE=ping 运行命令，询问它是否处理该 topic；no："
             "只检查程序是否存在。"},
    {"max_requests", "常驻时，一个进程处理这么多请求后被替换。0：从不替换。"},
    {"max_output", "标准输出保留末尾的多少字节。常驻时：单行的最大长度。"},
    {"restart_backoff", "常驻时，进程失败后重新启动前的等待时间，写作 from..to：每次加倍，"
                        "直到有进程能正常工作。"},
    {0}};

static const struct text pull_texts[] = {
    {"entry", "留空：worker 自行连接，broker 不启动进程。否则为 worker 的命令行，写法同 "
              "exec。%q、%t、%h、%p "
              "分别代表队列、topic、主机和端口，%% 代表百分号。%a "
              "代表密码，但本机的所有用户都能在命令行中看到它；环境变量中也有密码。"},
    {"connect",
     "worker 连接 broker 的地址，HOST:PORT。留空：[server] listen 中的第一个 HOST:PORT。"},
    {"pull_password",
     "topic 或队列的密码，明文。worker 从环境变量 PEPPERBUS_PASSWORD 和 REDISCLI_AUTH 中得到它。"
     "在 env_file 中写 PEPPERBUS_PASSWORD=... 效果相同。"},
    {"restart_backoff",
     "进程失败后重新启动前的等待时间，写作 from..to：每次加倍，直到有进程能正常工作。"},
    {0}};

static const struct text cgi_texts[] = {
    {"address", "FastCGI worker 的监听地址：HOST:PORT（IP 地址或 localhost）或 unix:/path。"
                "有多个地址时，请求轮流发往各个地址。"},
    {"connect_timeout", "等待连接的时间，超过则认为 worker 不可达；不超过请求剩余时间的一半。"},
    {"keepalive", "有后续请求时复用同一连接，期间该 php-fpm 子进程不处理其他请求。"},
    {"idle_timeout", "空闲连接的保留时间，期间会占用一个 php-fpm 子进程。0：立即关闭。"},
    {"hangup_after",
     "超时的脚本可能仍在运行，它的连接继续计入连接数，直到脚本结束，最长为此时间。请设为 php-fpm "
     "的 request_terminate_timeout。"},
    {"max_response", "worker 响应的最大字节数，超过则本次尝试失败，连接被关闭。"},
    {"status", "php-fpm 状态页的地址（pm.status_listen）：HOST:PORT 或 unix:/path。address "
               "有多个地址时，按顺序各写一个。留空：不读取状态页。"},
    {"status_path", "状态页的路径，即 php-fpm 的 pm.status_path。"},
    {"status_interval",
     "有任务时读取状态页的间隔；有人查看时，读取也不会比这更频繁。空闲的池不读取。"},
    {"entry", "worker：PHP 文件的绝对路径，以 php-fpm 所见为准。"},
    {"entry_realpath",
     "每次请求前解析 entry 中的符号链接，与 nginx 的 $realpath_root "
     "相同：切换符号链接的部署会立即生效。本机不存在的路径（php-fpm 在容器、chroot "
     "或其他机器中）按原样发送。"},
    {0}};

static const struct text http_texts[] = {
    {"address", "要连接的地址：HOST:PORT 或 unix:/path。Host 头和 TLS 校验的名称仍取自 topic 的 "
                "URL。有多个地址时，请求发往当前请求最少的地址，跳过无法连接、繁忙或没有响应的"
                "地址。留空：URL 中的主机。"},
    {"connect_timeout", "等待连接的时间，包括域名解析和 TLS 握手，超过则认为 worker "
                        "不可达；不超过请求剩余时间的一半。"},
    {"keepalive", "复用同一连接发送后续请求。"},
    {"idle_timeout", "空闲连接的保留时间，应短于服务端的保留时间（Node 为 5 秒，nginx 为 75 "
                     "秒）：请求若恰好遇到连接被关闭，本次尝试会失败。"},
    {"connection_max_age",
     "与一个主机名的连接最长使用多久，之后重新解析域名，使请求跟随域名的变更。"
     "0：不限制。到 IP 地址的连接没有此限制。"},
    {"hangup_after",
     "超时的 worker 可能仍在运行，它占用的并发名额直到收到响应才释放，最长为此时间。"},
    {"max_retry_after", "worker 返回 429 或 503 并带有 Retry-After 时，broker 最长暂停多久。"},
    {"entry", "worker 的 URL，以 http:// 或 https:// 开头。"},
    {"host", "与 URL 中的主机不同时使用的 Host 头。TLS 仍校验 URL 中的名称。"},
    {"header", "附加的请求头：\"Name: value\"，多个用逗号分隔，因此值中不能有逗号。"},
    {"authorization", "Authorization 头，例如 \"Bearer ...\" 或 \"Basic ...\"。"},
    {"authorization_file",
     "文件的绝对路径，第一行为 Authorization 头的值；topic 启动或变更时读取。"},
    {"body", "form：worker 协议的表单，由响应头 Code 表示结果。content：任务的原始内容，任意 2xx "
             "状态码即为成功，适合 webhook，每次请求一个任务。"},
    {"content_type", "body = content 时任务的 Content-Type。"},
    {"http_version",
     "auto：TLS 协商支持时使用 HTTP/2，否则使用 1.1。2：同上，但拒绝 http://。2-prior：不使用 TLS "
     "时也直接使用 HTTP/2，适合只支持 HTTP/2 的服务器。"},
    {"verify", "校验服务器的证书及其名称。no：中间人可以读取请求并伪造响应。"},
    {"ca_file", "受信任的 CA 证书文件（PEM）的绝对路径，代替系统的 CA 证书。"},
    {"client_cert", "向服务器出示的客户端证书（PEM）的绝对路径。"},
    {"client_key", "client_cert 的私钥（PEM）的绝对路径。留空：私钥与证书在同一文件中。"},
    {"client_key_password", "client_key 的密码。"},
    {"max_response", "worker 响应的最大字节数，超过则本次尝试失败，连接被关闭。"},
    {"max_header", "worker 响应头的最大字节数，超过则本次尝试失败，连接被关闭。"},
    {0}};

static const struct {
  const char *run_type;
  const struct text *texts;
} tables[] = {{"exec", exec_texts},    {"exec", process_texts}, {"pull", pull_texts},
              {"pull", process_texts}, {"cgi", cgi_texts},      {"http", http_texts}};

const char *transport_help_zh(const char *run_type, const char *key) {
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    if (strcmp(tables[i].run_type, run_type) != 0) continue;
    for (const struct text *t = tables[i].texts; t->key; t++)
      if (strcmp(t->key, key) == 0) return t->help;
  }
  return NULL;
}
