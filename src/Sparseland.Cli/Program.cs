using Sparseland.Cli.Hosting;

return await CommandLineHost.RunAsync(args);
