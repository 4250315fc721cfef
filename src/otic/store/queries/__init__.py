"""What people ask the store: one module a subject, each answer a plain struct."""
