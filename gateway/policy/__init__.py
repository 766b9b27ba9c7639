"""The machines that protect an upstream: pure, on a clock that is given to them, with no exchange and no HTTP.

`proxy.layers` applies them to exchanges, in the order that `proxy.pipeline` draws. So the same machine can also serve a
call that is no HTTP request, and is tested without one.
"""
