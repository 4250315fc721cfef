import { describe, expect, it } from 'vitest';
import { fieldProblems } from './field-problems';

describe('fieldProblems', () => {
  it('gives each field its own reason, also one with a colon in it', () => {
    const found = fieldProblems([
      'interfaces: Choose at least one interface.',
      'subnets[1].cidr: fd00::5/64 is no subnet; fd00::/64 is one.',
      'subnets[1].cidr: another reason',
    ]);
    expect(found.interfaces).toBe('Choose at least one interface.');
    expect(found['subnets[1].cidr']).toBe('fd00::5/64 is no subnet; fd00::/64 is one.');
    expect(found.learning_s).toBeUndefined();
  });

  it('keeps a line that names no field', () => {
    expect(fieldProblems(['all of it'])['']).toBe('all of it');
  });
});
