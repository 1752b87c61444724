"""The core: records, tasks, runner, Run store, statistics, gate. Imports no suite, trainer or report."""
