using System.CommandLine;
using System.Globalization;

namespace Sparseland.Cli.Hosting;

/// <summary>The options that every long verb has, spelled the same everywhere.</summary>
internal sealed class CommonOptions
{
    public Option<bool> DryRun { get; } = new("--dry-run") { Description = "Say what would be done and write nothing." };

    public Option<bool> Resume { get; } = new("--resume") { Description = "Continue an interrupted run in the same run folder." };

    public Option<long> Seed { get; } = new("--seed") { Description = "Source of all randomness; recorded with the run.", DefaultValueFactory = _ => 0 };

    public Option<int?> Threads { get; } = new("--threads") { Description = "Threads to use (default: all cores). Results do not depend on it." };

    public Option<string?> TimeLimit { get; } = new("--time-limit") { Description = "Stop cleanly after this long (90s, 10m, 2h); state is kept, exit code 6." };

    public Option<string?> MemoryLimit { get; } = new("--memory-limit") { Description = "Refuse work that would need more memory, and stop when the process grows beyond it (800MB, 4GB); state is kept, exit code 6." };

    public Option<bool> Quiet { get; } = new("--quiet", "-q") { Description = "Errors and the result only." };

    public Option<bool> Verbose { get; } = new("--verbose", "-v") { Description = "More detail; stack traces for errors." };

    public Option<bool> Json { get; } = new("--json") { Description = "The result alone, as JSON, on standard output." };

    public Option<string?> LogFile { get; } = new("--log-file") { Description = "Also write every message to this file." };

    public Option<bool> NoProgress { get; } = new("--no-progress") { Description = "No progress display." };

    /// <summary>Adds all of them to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="resumes">Whether it can go on with an interrupted run; one that cannot has no such option.</param>
    public void AddTo(Command command, bool resumes)
    {
        Option[] all = [DryRun, .. resumes ? (Option[])[Resume] : [], Seed, Threads, TimeLimit, MemoryLimit, Quiet, Verbose, Json, LogFile, NoProgress];
        foreach (Option option in all) command.Options.Add(option);
    }

    /// <summary>Reads a duration such as 90s, 10m, 2h or 1h30m.</summary>
    /// <exception cref="VerbException">The text is no positive duration.</exception>
    public static TimeSpan ParseDuration(string text)
    {
        double seconds = 0, number = 0, scale = 0;
        bool digits = false;
        foreach (char c in text.Trim())
        {
            if (char.IsAsciiDigit(c))
            {
                if (scale > 0)
                {
                    number += (c - '0') * scale;
                    scale /= 10;
                }
                else
                {
                    number = number * 10 + (c - '0');
                }
                digits = true;
                continue;
            }
            if (c == '.' && digits && scale == 0)
            {
                scale = 0.1;
                continue;
            }
            double unit = c switch { 's' => 1, 'm' => 60, 'h' => 3600, _ => 0 };
            if (unit == 0 || !digits) throw Bad();
            seconds += number * unit;
            (number, scale, digits) = (0, 0, false);
        }
        if (digits) seconds += number;
        if (seconds <= 0 || seconds > 3e7) throw Bad();
        return TimeSpan.FromSeconds(seconds);

        VerbException Bad() => VerbException.Usage($"'{text}' is no duration", "write 90s, 10m, 2h or 1h30m");
    }

    /// <summary>Reads a size such as 800MB, 4GB or 1.5GiB; a bare number is bytes.</summary>
    /// <exception cref="VerbException">The text is no positive size.</exception>
    public static long ParseSize(string text)
    {
        string t = text.Trim().ToUpperInvariant();
        (string suffix, double unit)[] units =
        [
            ("GIB", 1024.0 * 1024 * 1024), ("MIB", 1024 * 1024), ("KIB", 1024), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1),
        ];
        double scale = 1;
        foreach ((string suffix, double unit) in units)
        {
            if (!t.EndsWith(suffix, StringComparison.Ordinal)) continue;
            t = t[..^suffix.Length].TrimEnd();
            scale = unit;
            break;
        }
        if (!double.TryParse(t, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number) || number <= 0 || number * scale > 1e15)
            throw VerbException.Usage($"'{text}' is no size", "write 50MB, 1.5GB or a number of bytes");
        return (long)(number * scale);
    }

    /// <summary>Reads a short time such as 12ms, 0.5ms, 800us or 1.5s, in milliseconds.</summary>
    /// <exception cref="VerbException">The text is no positive time with a unit.</exception>
    public static double ParseMilliseconds(string text)
    {
        string t = text.Trim();
        (string suffix, double scale)[] units = [("ms", 1), ("us", 1e-3), ("s", 1e3)];
        foreach ((string suffix, double scale) in units)
        {
            if (!t.EndsWith(suffix, StringComparison.OrdinalIgnoreCase)) continue;
            if (double.TryParse(t[..^suffix.Length], NumberStyles.AllowDecimalPoint | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out double number) && number > 0 && number * scale < 1e9) return number * scale;
            break;
        }
        throw VerbException.Usage($"'{text}' is no time of a run", "write 12ms, 800us or 1.5s");
    }

    /// <summary>Reads a fraction such as 60%, 0.6 (0 &lt;= value &lt; 1).</summary>
    /// <exception cref="VerbException">The text is no fraction in that range.</exception>
    public static double ParseFraction(string text, string optionName)
    {
        string t = text.Trim();
        bool percent = t.EndsWith('%');
        if (!double.TryParse(percent ? t[..^1] : t, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) || double.IsNaN(value))
            throw VerbException.Usage($"{optionName} is '{text}', which is no fraction", $"write {optionName} 60% or {optionName} 0.6");
        if (percent) value /= 100;
        if (value is < 0 or >= 1)
        {
            string hint = !percent && value is >= 1 and <= 100 ? $"did you mean {optionName} {t}%?" : "use a value from 0 % up to, but not including, 100 %";
            throw VerbException.Usage($"{optionName} is {text}, outside 0 % to 100 %", hint);
        }
        return value;
    }
}
