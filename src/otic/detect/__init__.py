"""Detections: rules as data, evaluated on facts; an alert is a rule that fired for some parties."""
