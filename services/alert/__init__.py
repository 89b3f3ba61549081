"""alert: fuses the candidates of a track and raises at most one alert a subject, camera and window."""
