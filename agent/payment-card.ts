/** 13 to 19 digits, in groups or not. */
const CANDIDATE = /(?<![\d+])\d(?:[ -]?\d){12,18}(?!\d)/g;

/**
 * Texts leave the process without payment card numbers: neither a transcript nor a SIP header may
 * hold one (PCI DSS 4.0, requirement 3). The last four digits stay, as on a receipt.
 */
export function maskPaymentCards(text: string): string {
  return text.replaceAll(CANDIDATE, (match) => {
    const digits = match.replaceAll(/\D/g, "");
    return isCardNumber(digits) ? `****${digits.slice(-4)}` : match;
  });
}

/** Luhn's check (ISO/IEC 7812-1), so that other long numbers stay readable. */
function isCardNumber(digits: string): boolean {
  const sum = Array.from(digits, Number)
    .toReversed()
    .map((digit, index) => (index % 2 === 0 ? digit : digit * 2))
    .reduce((total, weighted) => total + (weighted > 9 ? weighted - 9 : weighted), 0);
  return sum % 10 === 0;
}
