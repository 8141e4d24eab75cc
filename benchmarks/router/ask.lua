-- For wrk: POST with the body of a file and an API key; at the end one line for programs.
--   wrk ... --script ask.lua URL -- BODY_FILE API_KEY

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.body = file:read("*a")
  file:close()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. arguments[2]
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{"requests": %d, "seconds": %.6f, "failed": %d, "p50_us": %.1f}\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50)))
end
