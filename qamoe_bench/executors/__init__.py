"""Where calls are computed: executors behind the interface of `concurrent.futures`."""
