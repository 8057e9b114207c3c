"""Tests, mirroring deployments/ and jobs/."""
