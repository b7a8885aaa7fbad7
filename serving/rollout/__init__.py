"""Canary rollouts: plan, judge (pure), driver (pure), runner (persists, then acts), targets."""
