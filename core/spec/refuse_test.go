package spec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/spec"
)

// web is the smallest service; the cases below add to it.
const web = "service: web\nrun: {command: [./web]}\n"

// job is the smallest job.
const job = "job: once\nrun: {command: [./once]}\n"

// nightly is the smallest cron.
const nightly = "cron: nightly\nrun: {command: [./clean]}\nschedule: "

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		// The document.
		"a list":                        {"- web", `line 1: found a list; want a map of fields`},
		"a text":                        {"web", `line 1: found "web"; want a map of fields`},
		"no kind":                       {"run: {command: [./web]}", "line 1: want one of service, job, daemon and cron with its name, as in service: web"},
		"two kinds":                     {web + "daemon: web", "line 3: daemon: makes no sense for a service: a document asks for one service, job, daemon or cron"},
		"an unknown field with a slip":  {web + "prots: [http]", `line 3: unknown field "prots"; did you mean "ports"?`},
		"an unknown field in a record":  {web + "logs: {sizes: 1MiB}", `line 3: logs: unknown field "sizes"; did you mean "size"?`},
		"an unknown field unlike any":   {web + "logs: {colour: red}", `line 3: logs: unknown field "colour"; known are size, files`},
		"an unknown field that is long": {web + "logs: {" + strings.Repeat("x", 100) + ": 1}", `line 3: logs: unknown field "` + strings.Repeat("x", 60) + `…"; known are size, files`},
		"no name of another kind":       {"job: once\nrun: {command: [a]}\ninstances_: 1", `line 3: unknown field "instances_"; known are job, pool, pools, user, copies, resources, run, ports, alive, deploy, placement, logs, on_lost, on_partition, retries, timeout`},
		"a key that is a list":          {web + "null: 3", `line 3: found nothing as a key; want a name`},
		"a key that is there twice":     {web + "service: other", `line 3: service: is given twice; the first is in line 1`},
		"a field without a value":       {web + "instances:", `line 3: instances: found nothing; want a whole number from 0 to 100000`},
		"a name that is not one":        {"service: Web\nrun: {command: [./web]}", `line 1: service: found "Web"; want a name: 1 to 63 lower-case letters, digits and inner hyphens`},
		"a name that is a number":       {"service: 12\nrun: {command: [./web]}", `line 1: service: found 12; want a name: 1 to 63 lower-case letters, digits and inner hyphens, in quotes`},
		"no program":                    {"service: web", "line 1: run: is missing"},

		// How many, from where and how much.
		"a negative number":         {web + "instances: -1", "line 3: instances: found -1; want a whole number from 0 to 100000"},
		"a huge number":             {web + "instances: 99999999999999999999", "line 3: instances: found 99999999999999999999; want a whole number from 0 to 100000"},
		"a fraction":                {web + "instances: 1.5", "line 3: instances: found 1.5; want a whole number from 0 to 100000"},
		"a number in quotes":        {web + `instances: "4"`, `line 3: instances: found "4"; want a whole number from 0 to 100000, without quotes`},
		"a text for a number":       {web + "instances: four", `line 3: instances: found "four"; want a whole number from 0 to 100000`},
		"a flag for a number":       {web + "instances: true", `line 3: instances: found true; want a whole number from 0 to 100000, in quotes`},
		"a list for a number":       {web + "instances: [4]", "line 3: instances: found a list; want a whole number from 0 to 100000"},
		"copies of a service":       {web + "copies: 2", "line 3: copies: makes no sense for a service: a service has instances, and a daemon runs once on each agent that fits"},
		"instances of a job":        {job + "instances: 2", "line 3: instances: makes no sense for a job: a job and a cron have copies, and a daemon runs once on each agent that fits"},
		"no copies":                 {job + "copies: 0", "line 3: copies: found 0; want a whole number from 1 to 100000"},
		"pool and pools":            {web + "pool: a\npools: [b]", "line 4: pools: stands beside pool; want one of the two"},
		"a pool twice":              {web + "pools: [a, b, a]", "line 3: pools[2]: a is there already"},
		"a bad pool":                {web + "pools: [a_b]", `line 3: pools[0]: found "a_b"; want a name: 1 to 63 lower-case letters, digits and inner hyphens`},
		"resources that are a list": {web + "resources: [1]", "line 3: resources: found a list; want a map of fields"},
		"an amount that is a list":  {web + "resources: {cpus: [1]}", "line 3: resources.cpus: found a list; want an amount such as 0.5 or 500m"},
		"an amount of another unit": {web + "resources: {mem: 1 GB}", `line 3: resources.mem: found "1 GB"; want an amount such as 256MiB or 1GB: unknown unit " GB", want bytes as in 1024, 256MiB or 1GB`},
		"no memory":                 {web + "resources: {mem: 0}", "line 3: resources.mem: found 0; want an amount such as 256MiB or 1GB: a program cannot run with none"},
		"a resource by another name": {
			web + "resources: {memory: 1GB}", `line 3: resources.memory: unknown resource type; did you mean "mem"?`,
		},
		"a resource that is no name": {
			web + "resources: {Tape: 1}", "line 3: resources.Tape: want a resource type: lower-case letters, digits and inner hyphens",
		},
		"a resource twice":  {web + "resources: {disk: 1, disk: 2}", "line 3: resources.disk: is given twice; the first is in line 3"},
		"ports as resource": {web + "resources: {ports: 1}", "line 3: resources.ports: ports have names; list them under ports at the top, as in ports: [http]"},

		// The program.
		"neither command nor shell":  {"service: web\nrun: {dir: x}", "line 2: run: has no program; want command, as in [./web, --verbose], or shell"},
		"both command and shell":     {"service: web\nrun: {command: [./web], shell: ./web}", "line 2: run.shell: stands beside command; want one of the two"},
		"an empty list for command":  {"service: web\nrun: {command: []}", "line 2: run.command: found an empty list; want a list such as [./web, --verbose]"},
		"an empty command":           {"service: web\nrun: {command: \"\"}", `line 2: run.command: found ""; want a list such as [./web, --verbose]: it is empty`},
		"a program without a name":   {"service: web\nrun: {command: [\"\"]}", "line 2: run.command: the program has no name"},
		"a line for a shell":         {"service: web\nrun: {command: ./web | tee log}", `line 2: run.command: found "./web | tee log"; want a list such as [./web, --verbose]: a line may not have '|', which a shell would act on; use a list, or shell instead`},
		"a command that is a map":    {"service: web\nrun: {command: {a: b}}", "line 2: run.command: found a map; want a list such as [./web, --verbose], or a line"},
		"a command that is a flag":   {"service: web\nrun: {command: true}", "line 2: run.command: found true; want a list such as [./web, --verbose], or a line"},
		"an argument that is a map":  {"service: web\nrun: {command: [./web, {a: b}]}", "line 2: run.command[1]: found a map; want text"},
		"too many arguments":         {"service: web\nrun: {command: [" + strings.Repeat("a,", 1001) + "]}", "line 2: run.command: found 1001 items; want at most 1000"},
		"too many words":             {"service: web\nrun: {command: " + strings.Repeat("a ", 1001) + "}", `line 2: run.command: found "` + strings.Repeat("a ", 30) + `…"; want a list such as [./web, --verbose]: 1001 arguments are more than 1000`},
		"a text that is too long":    {"service: web\nrun: {shell: " + strings.Repeat("x", 130_000) + "}", `line 2: run.shell: found "` + strings.Repeat("x", 60) + `…"; want a shell line: 130000 bytes are more than 122880`},
		"a NUL":                      {"service: web\nrun: {command: [./web, \"a\\0b\"]}", `line 2: run.command[1]: found "a\x00b"; want text: a program cannot be given the character NUL`},
		"an empty shell line":        {"service: web\nrun: {shell: \"\"}", `line 2: run.shell: found ""; want a shell line`},
		"env that is a list":         {"service: web\nrun: {command: [a], env: [A]}", "line 2: run.env: found a list; want a map of fields"},
		"a variable that is a list":  {"service: web\nrun: {command: [a], env: {A: [b]}}", "line 2: run.env.A: found a list; want text"},
		"a variable that is nothing": {"service: web\nrun: {command: [a], env: {A: }}", "line 2: run.env.A: found nothing; want text"},
		"a variable with a bad name": {"service: web\nrun: {command: [a], env: {A-B: c}}", `line 2: run.env: found "A-B"; want the name of a variable: letters, digits and _, not a digit first`},
		"a variable twice":           {"service: web\nrun: {command: [a], env: {A: b, A: c}}", "line 2: run.env.A: is given twice; the first is in line 2"},
		"a variable of aloft's":      {"service: web\nrun: {command: [a], env: {ALOFT_TASK: c}}", `line 2: run.env: found "ALOFT_TASK"; want another name: aloft sets those that begin with ALOFT_`},
		"a variable of a port":       {"service: web\nrun: {command: [a], env: {PORT_A-B: c}}", `line 2: run.env: found "PORT_A-B"; want the name of a variable: letters, digits and _, not a digit first`},
		"a port's variable":          {"service: web\nrun: {command: [a], env: {PORT_A: c}}\nports: [a]", "line 2: run.env.PORT_A: is taken: aloft tells the task its port a in it"},
		"too many variables":         {"service: web\nrun: {command: [a], env: {" + variables(1001) + "}}", "line 2: run.env: found 1001 entries; want at most 1000"},
		"a cycle":                    {"service: web\nrun: {command: [a], env: {A: \"${B}\", B: \"x${A}\"}}", "line 2: run.env.A: leads into a cycle: A -> B -> A\nline 2: run.env.B: leads into a cycle: A -> B -> A"},
		"a bomb of variables":        {"service: web\nrun: {command: [a], env: {A: \"" + strings.Repeat("${B}", 1000) + "\", B: \"" + strings.Repeat("x", 1000) + "\"}}", "line 2: run.env.A: with its references replaced it has more than 122880 bytes"},
		"an unknown port's variable": {"service: web\nrun: {command: [a, \"${PORT_HTTP}\"]}", "line 2: run.command[1]: unknown port variable PORT_HTTP; there is none"},
		"a slip in a port's name":    {"service: web\nports: [http]\nrun: {command: [a], env: {A: \"${PORT_HTP}\"}}", `line 3: run.env.A: unknown port variable PORT_HTP; did you mean "PORT_HTTP"?`},
		"an open reference":          {"service: web\nrun: {command: [a, \"${A\"]}", "line 2: run.command[1]: a ${ has no }; write $$ for a dollar sign"},
		"a reference to no name":     {"service: web\nrun: {command: [a, \"${A B}\"]}", "line 2: run.command[1]: ${A B} is not the name of a variable; write $$ for a dollar sign"},
		"a folder of the machine":    {"service: web\nrun: {command: [a], dir: /etc}", `line 2: run.dir: found "/etc"; want a path inside the sandbox such as data/cache: it begins at the root of the machine`},
		"a folder that climbs out":   {"service: web\nrun: {command: [a], dir: a/../../b}", `line 2: run.dir: found "a/../../b"; want a path inside the sandbox such as data/cache: it climbs out`},
		"a user with a space":        {"service: web\nrun: {command: [a], user: a b}", `line 2: run.user: found "a b"; want a user as in www-data, 1000 or www-data:www-data`},

		// Artifacts.
		"no URL":               {fetch("sha256: " + strings.Repeat("a", 64)), "line 2: run.fetch[0].url: is missing"},
		"another scheme":       {fetch("url: ftp://x/y"), `line 2: run.fetch[0].url: found "ftp://x/y"; want a URL that begins with https://, http:// or file:///`},
		"a URL without a host": {fetch(`url: "http:///y"`), `line 2: run.fetch[0].url: found "http:///y"; want a URL that begins with https://, http:// or file:///`},
		"a file by host":       {fetch("url: file://x/y"), `line 2: run.fetch[0].url: found "file://x/y"; want a URL that begins with https://, http:// or file:///`},
		"a URL with a space":   {fetch("url: http://x/a b"), `line 2: run.fetch[0].url: found "http://x/a b"; want a URL that begins with https://, http:// or file:///: it has a space or a character that cannot be seen`},
		"a short sha256":       {fetch("url: http://x/y, sha256: abc"), `line 2: run.fetch[0].sha256: found "abc"; want 64 hex digits`},
		"a sha256 not in hex":  {fetch("url: http://x/y, sha256: " + strings.Repeat("g", 64)), `line 2: run.fetch[0].sha256: found "` + strings.Repeat("g", 60) + `…"; want 64 hex digits`},
		"dest that climbs out": {fetch("url: http://x/y, dest: ../y"), `line 2: run.fetch[0].dest: found "../y"; want a path inside the sandbox such as data/cache: it climbs out`},
		"an executable archive": {
			fetch("url: http://x/y.zip?v=1, executable: true"),
			"line 2: run.fetch[0].executable: makes no sense for an archive, whose files keep their modes; leave it out, or set unpack: false",
		},

		// Ports.
		"a port taken twice":    {web + "ports: [http, http]", "line 3: ports[1]: the port http is there already"},
		"a number taken twice":  {web + "ports: [{name: a, number: 80}, {name: b, number: 80}]", "line 3: ports[1]: the number 80 is there already"},
		"a port without a name": {web + "ports: [{number: 80}]", "line 3: ports[0].name: is missing"},
		"a port too high":       {web + "ports: [{name: a, number: 65536}]", "line 3: ports[0].number: found 65536; want a whole number from 1 to 65535"},
		"a port that is a list": {web + "ports: [[a]]", "line 3: ports[0]: found a list; want a name: 1 to 63 lower-case letters, digits and inner hyphens"},
		"a port by number":      {web + "ports: [80]", "line 3: ports[0]: found 80; want a name: 1 to 63 lower-case letters, digits and inner hyphens, in quotes"},

		// Probes.
		"a probe that does not ask":   {web + "ready: {every: 1s}", "line 3: ready: wants one of http, tcp, grpc and command"},
		"a probe that asks twice":     {web + "ports: [a]\nready: {http: /, tcp: true}", "line 4: ready.tcp: a probe asks in one way, and http is there already"},
		"a probe without any port":    {web + "ready: {tcp: true}", "line 3: ready: needs a port, and the task has none; add one, as in ports: [http]"},
		"a probe of one of two":       {web + "ports: [a, b]\nready: {tcp: true}", "line 4: ready: needs a port: one of a, b"},
		"a probe of an unknown port":  {web + "ports: [http]\nready: {http: /, port: htp}", `line 4: ready.port: unknown port "htp"; did you mean "http"?`},
		"a probe of a tcp port":       {web + "ports: [http]\nready: {tcp: ftp}", `line 4: ready.tcp: unknown port "ftp"; known are http`},
		"a probe of two ports":        {web + "ports: [a, b]\nready: {port: a, tcp: b}", "line 4: ready.tcp: names a port, and port is there already"},
		"tcp: false":                  {web + "ports: [a]\nready: {tcp: false}", "line 4: ready.tcp: found false; want true, or the name of a port"},
		"grpc: false":                 {web + "ports: [a]\nready: {grpc: false}", "line 4: ready.grpc: found false; want true, or the name of a service, in quotes"},
		"a service with a space":      {web + "ports: [a]\nready: {grpc: a b}", `line 4: ready.grpc: found "a b"; want true, or the name of a service: it has a space or a character that cannot be seen`},
		"a path without a slash":      {web + "ports: [a]\nready: {http: ready}", `line 4: ready.http: found "ready"; want a path such as /ready`},
		"a command with a port":       {web + "ports: [a]\nalive: {command: [./ok], port: a}", "line 4: alive.port: makes no sense for a command, which finds ports in its environment"},
		"an empty command to ask":     {web + "alive: {command: []}", "line 3: alive.command: found an empty list; want a list such as [./web, --verbose]"},
		"a command without a name":    {web + "alive: {command: [\"\", a]}", "line 3: alive.command: the program has no name"},
		"a reference in a probe":      {web + "alive: {command: [./ok, \"${PORT_A}\"]}", "line 3: alive.command[1]: unknown port variable PORT_A; there is none"},
		"a probe that asks too often": {web + "ports: [a]\nready: {tcp: true, every: 1ms}", `line 4: ready.every: found "1ms"; want a duration from 10ms to 1h such as 500ms, 2s, 5m, 1h or 1d`},
		"ready of a job":              {job + "ready: {command: [./ok]}", "line 3: ready: makes no sense for a job: nobody waits for it to be ready"},

		// Routes.
		"a route to no port":         {web + "route: {host: a.b}", "line 3: route: needs a port, and the task has none; add one, as in ports: [http]"},
		"a route to one of two":      {web + "ports: [a, b]\nroute: {host: a.b}", "line 4: route: needs a port: one of a, b"},
		"a route to an unknown port": {web + "ports: [a, b]\nroutes: [{port: admin}]", `line 4: routes[0].port: unknown port "admin"; known are a, b`},
		"a route twice":              {web + "ports: [a]\nroutes: [{host: a.b}, {host: A.b, path: /}]", "line 4: routes[1]: the route a.b/ is there already"},
		"route and routes":           {web + "ports: [a]\nroute: {}\nroutes: [{host: a.b}]", "line 5: routes: stands beside route; want one of the two"},
		"a host with a space":        {route("host: a b"), `line 4: route.host: found "a b"; want a host such as www.example.com or *.example.com`},
		"a host with a port":         {route(`host: "a.b:80"`), `line 4: route.host: found "a.b:80"; want a host such as www.example.com or *.example.com: its port is that of the router's own address`},
		"any host":                   {route(`host: "*"`), `line 4: route.host: found "*"; want a host such as www.example.com or *.example.com: leave host out for any`},
		"an inner star":              {route(`host: "a.*.b"`), `line 4: route.host: found "a.*.b"; want a host such as www.example.com or *.example.com`},
		"an empty label":             {route(`host: "a..b"`), `line 4: route.host: found "a..b"; want a host such as www.example.com or *.example.com`},
		"a hyphen at the edge":       {route(`host: "a-.b"`), `line 4: route.host: found "a-.b"; want a host such as www.example.com or *.example.com`},
		"a long host":                {route("host: " + strings.Repeat("a.", 130) + "b"), `line 4: route.host: found "` + strings.Repeat("a.", 30) + `…"; want a host such as www.example.com or *.example.com`},
		"a relative path":            {route("path: api"), `line 4: route.path: found "api"; want a path such as /api`},
		"a path with a query":        {route("path: /a?b"), `line 4: route.path: found "/a?b"; want a path such as /api: it has a space, ?, # or a character that cannot be seen`},
		"a path with two slashes":    {route("path: /a//b"), `line 4: route.path: found "/a//b"; want a path such as /api: it has a segment that requests never have`},
		"a path that climbs":         {route("path: /a/../b"), `line 4: route.path: found "/a/../b"; want a path such as /api: it has a segment that requests never have`},
		"a long hold":                {route("hold: 1h"), `line 4: route.hold: found "1h"; want a duration from 0s to 10m such as 500ms, 2s, 5m, 1h or 1d`},
		"a port no router has":       {route("port: 70000"), "line 4: route.port: found 70000; want a whole number from 1 to 65535"},
		"a number with a host":       {route("port: 5432, host: a.b"), "line 4: route.host: makes no sense with a number in port: a connection has no host"},
		"a number with a path":       {route("port: 5432, path: /"), "line 4: route.path: makes no sense with a number in port: a connection has no path"},
		"a number for one of two":    {web + "ports: [a, b]\nroute: {port: 5432}", "line 4: route: needs a port: one of a, b"},
		"a number for an unknown":    {web + "ports: [a, b]\nroutes: [{port: 5432, to: c}]", `line 4: routes[0].to: unknown port "c"; did you mean "a"?`},
		"a number for a bad name":    {web + "ports: [a, b]\nroutes: [{port: 5432, to: C}]", `line 4: routes[0].to: found "C"; want a name: 1 to 63 lower-case letters, digits and inner hyphens`},
		"a number twice":             {web + "ports: [a]\nroutes: [{port: 5432}, {port: 5432}]", "line 4: routes[1]: the port 5432 of the routers is there already"},
		"to beside a name":           {route("to: a"), "line 4: route.to: stands beside no number; want port: 5432 for the port of the routers, or port instead of to"},
		"a route of a job":           {job + "route: {host: a}", "line 3: route: makes no sense for a job: requests go to what is kept running"},

		// Deployments.
		"a negative count":          {web + `deploy: {surge: "-1"}`, `line 3: deploy.surge: found "-1"; want a count such as 1 or a share such as 25%, up to 100%`},
		"more than all":             {web + "deploy: {surge: 101%}", `line 3: deploy.surge: found "101%"; want a count such as 1 or a share such as 25%, up to 100%`},
		"a huge count":              {web + "deploy: {surge: 100001}", `line 3: deploy.surge: found 100001; want a count such as 1 or a share such as 25%, up to 100%`},
		"a count that is a list":    {web + "deploy: {surge: [1]}", `line 3: deploy.surge: found a list; want a count such as 1 or a share such as 25%, up to 100%`},
		"nothing could move":        {web + "deploy: {surge: 0}", "line 3: deploy.surge: nothing could move with surge 0 and unavailable 0; want one of them above 0"},
		"no share could move":       {web + "deploy: {surge: 0%, unavailable: 0}", "line 3: deploy.surge: nothing could move with surge 0 and unavailable 0; want one of them above 0"},
		"a time without a unit":     {web + "deploy: {settle: 30}", "line 3: deploy.settle: found 30; want a duration from 0s to 1d such as 500ms, 2s, 5m, 1h or 1d: a number needs its unit"},
		"a time that is not one":    {web + "deploy: {settle: soon}", `line 3: deploy.settle: found "soon"; want a duration from 0s to 1d such as 500ms, 2s, 5m, 1h or 1d`},
		"a negative time":           {web + "deploy: {settle: -1s}", `line 3: deploy.settle: found "-1s"; want a duration from 0s to 1d such as 500ms, 2s, 5m, 1h or 1d`},
		"a huge time":               {web + "deploy: {settle: 99999999d}", `line 3: deploy.settle: found "99999999d"; want a duration from 0s to 1d such as 500ms, 2s, 5m, 1h or 1d`},
		"days with a negative rest": {web + "deploy: {settle: 1d-1s}", `line 3: deploy.settle: found "1d-1s"; want a duration from 0s to 1d such as 500ms, 2s, 5m, 1h or 1d`},
		"a deadline that is over":   {web + "deploy: {settle: 2m, deadline: 2m}", "line 3: deploy.deadline: 2m is over before an instance has settled, which takes 2m; want more"},
		"another word":              {web + "deploy: {on_failure: stop}", `line 3: deploy.on_failure: found "stop"; want rollback or pause`},
		"a daemon that cannot move": {"daemon: web\nrun: {command: [a]}\nports: [{name: a, number: 80}]\ndeploy: {surge: 1}", "line 4: deploy.unavailable: nothing could move: two instances on one agent cannot both have port 80; want 1 or more"},
		"surge of a job":            {job + "deploy: {surge: 1}", "line 3: deploy.surge: makes no sense for a job: nothing replaces it while it runs"},

		// Placement, logs, loss.
		"a condition that is none":  {where("zone"), `line 3: placement.where[0]: found "zone"; ` + wantCondition},
		"a condition of no word":    {where("zone = a b"), `line 3: placement.where[0]: found "zone = a b"; ` + wantCondition + ": the value a b is not a word"},
		"a condition without end":   {where("zone in [a"), `line 3: placement.where[0]: found "zone in [a"; ` + wantCondition + ": the ] is missing"},
		"a condition of nothing":    {where("zone in []"), `line 3: placement.where[0]: found "zone in []"; ` + wantCondition + ": the value  is not a word"},
		"another word for in":       {where("zone of [a]"), `line 3: placement.where[0]: found "zone of [a]"; ` + wantCondition},
		"a word for a name":         {where("has = a"), `line 3: placement.where[0]: found "has = a"; ` + wantCondition + ": has cannot be the name of an attribute"},
		"a bad attribute":           {where("a b = c"), `line 3: placement.where[0]: found "a b = c"; ` + wantCondition},
		"spread over the same":      {web + "placement: {spread: [zone, zone]}", "line 3: placement.spread[1]: zone is there already"},
		"spread over a bad name":    {web + "placement: {spread: [a b]}", `line 3: placement.spread[0]: found "a b"; want the name of an attribute such as zone`},
		"spread of a daemon":        {"daemon: web\nrun: {command: [a]}\nplacement: {spread: [zone]}", "line 3: placement.spread: makes no sense for a daemon: it runs on every agent that fits"},
		"logs that are tiny":        {web + "logs: {size: 1}", "line 3: logs.size: found 1; want a size from 1KiB to 1TiB such as 10MiB"},
		"logs of no size":           {web + "logs: {size: big}", `line 3: logs.size: found "big"; want a size from 1KiB to 1TiB such as 10MiB`},
		"no logs":                   {web + "logs: {files: 0}", "line 3: logs.files: found 0; want a whole number from 1 to 1000"},
		"stopped too late":          {web + "on_partition: stop", `line 3: on_partition: a grace of 10s and on_lost.after of 6s leave no time to stop; want on_lost: {after: 15s} or more, or a shorter deploy.grace`},
		"lost before it is stopped": {web + "on_partition: stop\non_lost: {after: 8s}\ndeploy: {grace: 4s}", `line 4: on_lost.after: a grace of 4s and on_lost.after of 8s leave no time to stop; want on_lost: {after: 9s} or more, or a shorter deploy.grace`},
		"neither run nor stop":      {web + "on_partition: no", `line 3: on_partition: found "no"; want run or stop`},
		"lost at once":              {web + "on_lost: {after: 0s}", `line 3: on_lost.after: found "0s"; want a duration from 1s to 30d such as 500ms, 2s, 5m, 1h or 1d`},
		"retries of a service":      {web + "retries: 1", "line 3: retries: makes no sense for a service: what is kept running is started again however often it ends"},
		"timeout of a service":      {web + "timeout: 1h", "line 3: timeout: makes no sense for a service: it is meant to run without end"},
		"a timeout that is nothing": {job + "timeout: 0s", `line 3: timeout: found "0s"; want a duration from 1s to 365d such as 500ms, 2s, 5m, 1h or 1d`},

		// Schedules.
		"a schedule of a service": {web + `schedule: "@daily"`, "line 3: schedule: makes no sense for a service: only a cron has a schedule"},
		"no schedule":             {"cron: nightly\nrun: {command: [a]}", "line 1: schedule: is missing; a cron wants one, as in schedule: 30 3 * * *"},
		"four fields":             {nightly + "3 * * *", `line 3: schedule: found "3 * * *"; ` + wantLine + ": expected exactly 5 fields, found 4: [3 * * *]"},
		"an hour too late":        {nightly + "0 24 * * *", `line 3: schedule: found "0 24 * * *"; ` + wantLine + ": end of range (24) above maximum (23): 24"},
		"a day that never comes":  {nightly + "0 0 30 2 *", `line 3: schedule: found "0 0 30 2 *"; ` + wantLine + ": there is no such day"},
		"a comma too many":        {nightly + "0, 3 * * *", `line 3: schedule: found "0, 3 * * *"; ` + wantLine + `: "0," has a comma too many`},
		"an unknown word":         {nightly + `"@often"`, `line 3: schedule: found "@often"; ` + wantLine + ": unrecognized descriptor: @often"},
		"too often":               {nightly + `"@every 1ms"`, `line 3: schedule: found "@every 1ms"; ` + wantLine + ": @every wants a duration of at least 1s"},
		"every so many":           {nightly + `"@every 5"`, `line 3: schedule: found "@every 5"; ` + wantLine + ": @every wants a duration of at least 1s"},
		"a zone in the line":      {nightly + "TZ=UTC", `line 3: schedule: found "TZ=UTC"; ` + wantLine + ": the zone stands in timezone"},
		"an unknown zone":         {nightly + "\"@daily\"\ntimezone: Europe/Atlantis", `line 4: timezone: unknown time zone "Europe/Atlantis"; want an IANA name such as Europe/Berlin`},
		"this machine's zone":     {nightly + "\"@daily\"\ntimezone: Local", `line 4: timezone: found "Local"; want a time zone such as Europe/Berlin`},
		"another overlap":         {nightly + "\"@daily\"\noverlap: queue", `line 4: overlap: found "queue"; want skip, allow or replace`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := spec.Decode(parsed(t, tc.text), zones)

			if err == nil {
				t.Fatalf("Decode took it:\n%s", spec.Encode(s))
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

const (
	wantCondition = "want a condition such as zone = a, zone != a, zone in [a, b], zone not in [a, b], has ssd or not has ssd"
	wantLine      = "want five fields as in 30 3 * * *, or @hourly, @daily, @weekly, @monthly, @yearly or @every 10m"
)

func where(condition string) string { return fmt.Sprintf("%splacement: {where: [%q]}", web, condition) }

func fetch(fields string) string {
	return "service: web\nrun: {command: [./web], fetch: [{" + fields + "}]}"
}

func route(fields string) string { return web + "ports: [http]\nroute: {" + fields + "}" }

func variables(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "V%d: x, ", i)
	}
	return text.String()
}
