"""What every context may use: errors, settings, telemetry and the clock. Nothing else, ever."""
