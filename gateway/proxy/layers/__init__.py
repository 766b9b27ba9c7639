"""The layers that apply a policy to an exchange: each consults one machine of `policy`, and reports the outcome to it.

A layer whose feature is off returns the handler it was given. From the outside in (`proxy.pipeline` draws the map):
the deadline bounds everything below it; the limiter stands above the retry, so that one permit covers all attempts and
the whole streamed body; the retry stands above the breaker, so that each attempt is judged on its own.
"""
