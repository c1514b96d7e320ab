using System.Diagnostics;
using System.Globalization;

namespace Sparseland.Cli.Measuring;

/// <summary>Another engine in a process of its own that does one run per line "run" and answers with its own milliseconds.</summary>
internal abstract class PeerProcess : IDisposable
{
    private readonly Process _process;
    private readonly string _name;
    private readonly Task<string> _errors;

    /// <summary>Starts the process and waits for its first line.</summary>
    /// <param name="name">The engine, for messages.</param>
    /// <param name="program">The executable.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <exception cref="InvalidOperationException">The program is not there or ended before it was ready; the message says what it said.</exception>
    protected PeerProcess(string name, string program, IEnumerable<string> arguments)
    {
        _name = name;
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        try
        {
            _process = Process.Start(start) ?? throw new InvalidOperationException($"'{program}' did not start.");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new InvalidOperationException($"{name} cannot run: '{program}': {e.Message}", e);
        }
        _errors = _process.StandardError.ReadToEndAsync();
        if (_process.StandardOutput.ReadLine() is { } ready)
        {
            Ready = ready;
            return;
        }
        _process.WaitForExit();
        string said = _errors.Result.Trim();
        _process.Dispose();
        throw new InvalidOperationException($"{name} could not start: {said[..Math.Min(said.Length, 600)]}");
    }

    /// <summary>The line with which the engine said that it is ready.</summary>
    public string Ready { get; }

    /// <summary>One run; returns the engine's own measurement in milliseconds.</summary>
    public double Run() => double.Parse(Ask("run"), CultureInfo.InvariantCulture);

    /// <summary>Sends one line and returns the answer.</summary>
    protected string Ask(string line)
    {
        _process.StandardInput.WriteLine(line);
        _process.StandardInput.Flush();
        if (_process.StandardOutput.ReadLine() is { } answer) return answer;
        _process.WaitForExit(1000);
        throw new InvalidOperationException($"{_name}'s process ended unexpectedly{(_errors.IsCompleted && _errors.Result.Trim() is { Length: > 0 } said ? ": " + said[..Math.Min(said.Length, 600)] : ".")}");
    }

    public void Dispose()
    {
        try
        {
            if (!_process.HasExited)
            {
                _process.StandardInput.Close();
                if (!_process.WaitForExit(3000)) _process.Kill(entireProcessTree: true);
            }
        }
        finally
        {
            _process.Dispose();
            Clean();
        }
    }

    /// <summary>Removes what was written for the process.</summary>
    protected virtual void Clean()
    {
    }
}
