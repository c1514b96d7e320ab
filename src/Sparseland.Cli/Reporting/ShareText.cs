namespace Sparseland.Cli.Reporting;

/// <summary>Shares for people.</summary>
internal static class ShareText
{
    /// <summary>A share as a percentage with one digit, or up to as many as asked for; more where rounding would call all, or nothing, what is not: 99.9999 % is not 100.0 %.</summary>
    /// <param name="share">The share, 1 = all.</param>
    /// <param name="digits">Most digits behind the point, 1 or more, where fewer do not say less.</param>
    public static string Of(double share, int digits = 1)
    {
        string text = "";
        // A share of single weights is no nearer to 0 or 1 than 15 digits tell.
        for (int more = digits; more <= 15; more++)
        {
            text = (100 * share).ToString("0.0" + new string('#', more - 1));
            if (share is <= 0 or >= 1 || text is not ("0.0" or "100.0")) break;
        }
        return text + " %";
    }
}
